"""Secrets do not get into what is written."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ellopt.files.redaction import Redactor, environment_secrets, without_credentials

SECRETS = st.text(st.characters(min_codepoint=33, max_codepoint=0x2FF), min_size=6, max_size=30)


@given(secret=SECRETS, before=st.text("ab :/", max_size=20), after=st.text("ab :/", max_size=20))
def test_a_secret_is_cut_out_in_each_of_its_forms(secret: str, before: str, after: str) -> None:
    forms = [secret, json.dumps(secret)[1:-1], quote(secret, safe=""), base64.b64encode(secret.encode()).decode()]
    for form in forms:
        clean = Redactor([secret]).text(f"{before}{form}{after}")
        assert "[removed]" in clean
        assert form.rstrip("=") not in clean


def texts_in(value: object) -> list[str]:
    """Every text in a value, and the value as JSON if it is of another kind."""
    if isinstance(value, list):
        return [text for element in value for text in texts_in(element)]
    return [value if isinstance(value, str) else json.dumps(value)]


@given(secret=SECRETS, value=st.recursive(st.text() | st.integers() | st.none(), st.lists, max_leaves=5))
def test_what_holds_no_secret_is_left_alone(secret: str, value: object) -> None:
    redactor = Redactor([secret])
    assume(all(redactor.text(text) == text for text in texts_in(value)))
    assert redactor.json(value) == value


def test_json_is_cleaned_in_keys_and_values() -> None:
    clean = Redactor(["hunter22"]).json({"a hunter22": ["x", {"b": "=hunter22="}], "n": 1.5})
    assert clean == {"a [removed]": ["x", {"b": "=[removed]="}], "n": 1.5}


def test_a_short_secret_counts_only_where_it_stands_alone() -> None:
    redactor = Redactor(["pi"])
    assert redactor.text("pi3 runs a pipeline; 3.pi") == "pi3 runs a pipeline; 3.pi"
    assert redactor.text("user=pi, password: pi") == "user=[removed], password: [removed]"


def test_no_secret_means_no_change() -> None:
    assert Redactor(["", " "]).text("as it was") == "as it was"


def test_a_secret_across_the_border_of_two_pieces_of_a_file_is_found(tmp_path: Path) -> None:
    path = tmp_path / "large.ell"
    path.write_bytes(b"0" * ((1 << 22) - 4) + b"hunter22" + b"0" * 100)
    assert Redactor(["hunter22"]).found_in(path)
    assert not Redactor(["hunter23"]).found_in(path)


@pytest.mark.parametrize(
    ("uri", "public"),
    [
        ("http://user:word@host:5000/x", "http://host:5000/x"),
        ("http://host:5000", "http://host:5000"),
        ("sqlite:////a/b@c/mlflow.db", "sqlite:////a/b@c/mlflow.db"),
        ("postgresql://u:p@db/mlflow?sslmode=on", "postgresql://db/mlflow?sslmode=on"),
        ("", ""),
    ],
)
def test_addresses_lose_their_credentials(uri: str, public: str) -> None:
    assert without_credentials(uri) == public


def test_the_environment_s_secrets_are_known() -> None:
    environment = {
        "MLFLOW_TRACKING_URI": "https://me:s3cret-word@tracking.example",
        "MLFLOW_TRACKING_TOKEN": "token-1",
        "RPI_PASSWORD": "berry-2",
        "HOME": "/home/me",
    }
    assert set(environment_secrets(environment)) == {"s3cret-word", "token-1", "berry-2"}
