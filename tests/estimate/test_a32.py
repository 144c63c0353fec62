"""32-bit instructions as the assembler writes them are what the decoder says they are."""

from __future__ import annotations

import subprocess
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ellopt.core.errors import ConfigurationError
from ellopt.estimate.a32.decode import decode
from ellopt.estimate.a32.registers import FLOAT_FLAGS, LINK, SP, double, single
from ellopt.estimate.cores import CORES, Core
from ellopt.estimate.elf import code_words
from ellopt.estimate.instruction import FLAGS, REGISTERS
from ellopt.estimate.table import encode
from ellopt.toolchains.zig import zig_command

Case = tuple[str, str, set[int], set[int], dict[str, object]]


def s(*numbers: int) -> set[int]:
    return set(single(*numbers))


def d(*numbers: int) -> set[int]:
    return set(double(*numbers))


def q(*numbers: int) -> set[int]:
    return d(*(n for number in numbers for n in (2 * number, 2 * number + 1)))


#: text, kind, sources, targets, and further facts
CASES: list[Case] = [
    ("add r0, r1, r2", "alu", {1, 2}, {0}, {"guarded": False}),
    ("add r0, r1, r2, lsl #3", "alu_shift", {1, 2}, {0}, {}),
    ("add r0, r1, r2, lsl r3", "alu_shift", {1, 2, 3}, {0}, {}),
    ("sub sp, sp, #16", "alu", {SP}, {SP}, {}),
    ("subs r3, r4, #7", "alu", {4}, {3, FLAGS}, {}),
    ("cmp r3, r4", "alu", {3, 4}, {FLAGS}, {}),
    ("tst r3, #1", "alu", {3}, {FLAGS}, {}),
    ("adc r3, r4, r5", "alu", {4, 5, FLAGS}, {3}, {}),
    ("mov r5, r6", "alu", {6}, {5}, {}),
    ("lsl r5, r6, #4", "alu", {6}, {5}, {}),
    ("lsr r5, r6, r7", "alu", {6, 7}, {5}, {}),
    ("rrx r5, r6", "alu", {6, FLAGS}, {5}, {}),
    ("mvn r5, #0", "alu", set(), {5}, {}),
    ("movw r5, #3", "alu", set(), {5}, {}),
    ("movt r5, #3", "alu", {5}, {5}, {}),
    ("add r9, pc, #8", "alu", set(), {9}, {}),
    ("addne r0, r1, r2", "alu", {0, 1, 2, FLAGS}, {0}, {"guarded": True}),
    ("movlt r1, #0", "alu", {1, FLAGS}, {1}, {}),
    ("mul r1, r2, r3", "mul", {2, 3}, {1}, {"x": False}),
    ("mla r1, r2, r3, r4", "mul", {2, 3, 4}, {1}, {}),
    ("mls r1, r2, r3, r4", "mul", {2, 3, 4}, {1}, {}),
    ("umull r1, r2, r3, r4", "mul", {3, 4}, {1, 2}, {"x": True}),
    ("smlal r1, r2, r3, r4", "mul", {1, 2, 3, 4}, {1, 2}, {}),
    ("smlabb r1, r2, r3, r4", "mul", {2, 3, 4}, {1}, {}),
    ("smulbb r1, r2, r3", "mul", {2, 3}, {1}, {}),
    ("smmul r1, r2, r3", "mul", {2, 3}, {1}, {}),
    ("udiv r1, r2, r3", "div", {2, 3}, {1}, {}),
    ("sdivne r1, r2, r3", "div", {1, 2, 3, FLAGS}, {1}, {}),
    ("clz r1, r2", "alu", {2}, {1}, {}),
    ("rev r1, r2", "alu", {2}, {1}, {}),
    ("uxtb r1, r2", "alu", {2}, {1}, {}),
    ("uxtab r1, r2, r3", "alu_shift", {2, 3}, {1}, {}),
    ("ubfx r1, r2, #3, #4", "alu", {2}, {1}, {}),
    ("bfi r1, r2, #3, #4", "alu", {1, 2}, {1}, {}),
    ("bfc r1, #3, #4", "alu", {1}, {1}, {}),
    ("pkhbt r1, r2, r3, lsl #16", "alu_shift", {2, 3}, {1}, {}),
    ("ssat r1, #8, r2", "alu_shift", {2}, {1}, {}),
    ("mrs r1, apsr", "alu", {FLAGS}, {1}, {}),
    ("mrc p15, #0, r1, c13, c0, #3", "alu", set(), {1}, {}),
    ("b .", "branch", set(), set(), {"is_conditional": False}),
    ("bl .", "branch", set(), {LINK}, {}),
    ("bne .", "cond", {FLAGS}, set(), {"is_conditional": True}),
    ("bx lr", "indirect", set(), set(), {"is_branch": True, "is_conditional": False}),
    ("bxne lr", "cond", {FLAGS}, set(), {"is_conditional": True}),
    ("blx r7", "indirect", {7}, {LINK}, {}),
    ("add pc, pc, r1, lsl #2", "alu_shift", {1}, set(), {"is_branch": True}),
    ("mov pc, r1", "alu", {1}, set(), {"is_branch": True}),
    ("pop {r4, pc}", "load_x", {SP}, {4, SP}, {"is_branch": True, "is_conditional": False, "writeback": SP}),
    ("popne {r4, pc}", "load_x", {4, SP, FLAGS}, {4, SP}, {"is_branch": True, "is_conditional": True}),
    ("ldr pc, [r1, r2, lsl #2]", "load_x", {1, 2}, set(), {"is_branch": True}),
    ("nop", "nop", set(), set(), {}),
    ("svc #0", "nop", set(), set(), {}),
    ("dmb ish", "nop", set(), set(), {}),
    ("ldr r1, [r2, #8]", "load_x", {2}, {1}, {"moved": 1, "writeback": 255}),
    ("ldr r1, [pc, #8]", "load_x", set(), {1}, {}),
    ("ldrb r1, [r2, r3, lsl #1]", "load_x", {2, 3}, {1}, {}),
    ("ldr r1, [r2], #4", "load_x", {2}, {1, 2}, {"writeback": 2}),
    ("ldreq r1, [r2]", "load_x", {1, 2, FLAGS}, {1}, {}),
    ("str r1, [sp, #-16]!", "store_x", {1, SP}, {SP}, {"writeback": SP}),
    ("strh r1, [r2, r3]", "store_x", {1, 2, 3}, set(), {}),
    ("ldrsh r1, [r2, #2]", "load_x", {2}, {1}, {}),
    ("ldrd r2, r3, [r4]", "load_x", {4}, {2, 3}, {"moved": 2, "double_words": 1}),
    ("strd r2, r3, [r4, #8]", "store_x", {2, 3, 4}, set(), {"moved": 2}),
    ("ldm r1!, {r2, r3, r4, r5}", "load_x", {1}, {1, 2, 3, 4, 5}, {"moved": 4, "double_words": 2, "writeback": 1}),
    ("stmdb sp!, {r4, lr}", "store_x", {4, LINK, SP}, {SP}, {"moved": 2}),
    ("ldrex r1, [r2]", "load_x", {2}, {1}, {}),
    ("strex r1, r2, [r3]", "store_x", {2, 3}, {1}, {}),
    ("ldaex r1, [r2]", "load_x", {2}, {1}, {}),
    ("stl r1, [r2]", "store_x", {1, 2}, set(), {}),
    ("pld [r2, #64]", "prefetch", {2}, set(), {}),
    ("vldr s1, [r2, #4]", "load_v", {2}, s(1), {"moved": 1, "wide": False}),
    ("vldr d1, [r2, #8]", "load_v", {2}, s(2, 3), {"wide": False}),
    ("vldr d17, [r2]", "load_v", {2}, d(17), {}),
    ("vstr d1, [r2]", "store_v", {2} | d(1), set(), {}),
    ("vldmia r1!, {d8-d11}", "load_v", {1}, {1} | d(8, 9, 10, 11), {"moved": 2, "wide": True, "writeback": 1}),
    ("vldmia r1, {s3-s5}", "load_v", {1}, s(3, 4, 5), {"moved": 1, "wide": True}),
    ("vpush {d8-d15}", "store_v", {SP} | d(*range(8, 16)), {SP}, {"moved": 4, "wide": True}),
    ("vpop {d8}", "load_v", {SP}, {SP} | d(8), {"moved": 1, "wide": False}),
    ("vld1.32 {d0}, [r1]", "load_v", {1}, d(0), {"moved": 1, "wide": False}),
    ("vld1.32 {d0, d1}, [r1:128]!", "load_v", {1}, {1} | q(0), {"moved": 1, "wide": True, "writeback": 1}),
    ("vld1.64 {d20-d23}, [r1:256], r2", "load_v", {1, 2}, {1} | q(10, 11), {"moved": 2, "wide": True}),
    ("vld1.32 {d3-d5}, [r1]", "load_v", {1}, d(3, 4, 5), {"moved": 3, "wide": False}),
    ("vst1.32 {d2, d3}, [r1]", "store_v", {1} | q(1), set(), {"wide": True}),
    ("vld1.32 {d0[], d1[]}, [r1]", "load_dup", {1}, q(0), {"wide": True}),
    ("vld1.32 {d0[]}, [r1:32]!", "load_dup", {1}, {1} | d(0), {"wide": False}),
    ("vld1.32 {d0[1]}, [r1]", "load_lane", {1}, s(1), {}),
    ("vld1.32 {d20[1]}, [r1]", "load_lane", {1} | d(20), d(20), {}),
    ("vst1.32 {d3[0]}, [r1]!", "store_lane", {1} | s(6), {1}, {"writeback": 1}),
    ("vld2.32 {d0, d1}, [r1]", "load_interleaved", {1}, d(0, 1), {}),
    ("vld2.32 {d0-d3}, [r1]!", "load_interleaved", {1}, {1} | d(0, 1, 2, 3), {"moved": 2, "wide": True}),
    ("vld4.32 {d0, d2, d4, d6}, [r1]", "load_interleaved", {1}, d(0, 2, 4, 6), {}),
    ("vst4.32 {d0, d2, d4, d6}, [r1]", "store_interleaved", {1} | d(0, 2, 4, 6), set(), {}),
    ("vmla.f32 q1, q2, q3", "fmla", q(1, 2, 3), q(1), {"flops": 8, "accumulators": 4, "wide": True}),
    ("vmla.f32 q9, q2, d7[1]", "fmla", q(9, 2) | s(15), q(9), {"flops": 8, "accumulators": 2, "wide": True}),
    ("vmla.f32 d1, d2, d3[0]", "fmla", d(1, 2) | s(6), d(1), {"flops": 4, "wide": False}),
    ("vfma.f32 q8, q9, q10", "fmla", q(8, 9, 10), q(8), {"flops": 8, "accumulators": 2}),
    ("vfms.f32 d8, d9, d10", "fmla", d(8, 9, 10), d(8), {"flops": 4}),
    ("vfma.f32 s1, s2, s3", "fmla", s(1, 2, 3), s(1), {"flops": 2, "accumulators": 1}),
    ("vmla.f32 s1, s2, s3", "fmla", s(1, 2, 3), s(1), {"flops": 2}),
    ("vnmls.f64 d1, d2, d3", "fmla", d(1, 2, 3), d(1), {}),
    ("vmul.f32 q1, q2, q3", "fmul", q(2, 3), q(1), {"flops": 4}),
    ("vmul.f32 q1, q2, d3[1]", "fmul", q(2) | s(7), q(1), {"flops": 4}),
    ("vmul.f32 s1, s2, s3", "fmul", s(2, 3), s(1), {"flops": 1}),
    ("vmulne.f32 s1, s2, s3", "fmul", s(1, 2, 3) | {FLAGS}, s(1), {}),
    ("vadd.f32 q1, q2, q3", "fadd", q(2, 3), q(1), {"flops": 4}),
    ("vsub.f64 d1, d2, d3", "fadd", d(2, 3), d(1), {}),
    ("vpadd.f32 d1, d2, d3", "fadd", d(2, 3), d(1), {}),
    ("vmax.f32 q1, q2, q3", "fminmax", q(2, 3), q(1), {}),
    ("vpmax.f32 d1, d2, d3", "fminmax", d(2, 3), d(1), {}),
    ("vmaxnm.f32 s1, s2, s3", "fminmax", s(2, 3), s(1), {}),
    ("vdiv.f32 s1, s2, s3", "fdiv", s(2, 3), s(1), {"flops": 1}),
    ("vsqrt.f32 s1, s2", "fdiv", s(2), s(1), {}),
    ("vcmp.f32 s1, s2", "fcmp", s(1, 2), {FLOAT_FLAGS}, {}),
    ("vcmp.f32 s1, #0", "fcmp", s(1), {FLOAT_FLAGS}, {}),
    ("vmrs APSR_nzcv, fpscr", "to_general", {FLOAT_FLAGS}, {FLAGS}, {}),
    ("vcgt.f32 q1, q2, #0", "fcmp", q(2), q(1), {}),
    ("vcge.f32 q1, q2, q3", "fcmp", q(2, 3), q(1), {}),
    ("vselgt.f32 s1, s2, s3", "fmove", s(2, 3) | {FLAGS}, s(1), {}),
    ("vabs.f32 q1, q2", "fmove", q(2), q(1), {}),
    ("vneg.f32 s1, s2", "fmove", s(2), s(1), {}),
    ("vmov.f32 s1, s2", "fmove", s(2), s(1), {}),
    ("vrecpe.f32 q1, q2", "fmul", q(2), q(1), {}),
    ("vrecps.f32 q1, q2, q3", "fmul", q(2, 3), q(1), {}),
    ("vcvt.s32.f32 q1, q2", "fcvt", q(2), q(1), {"wide": True}),
    ("vcvt.f32.s32 s1, s2", "fcvt", s(2), s(1), {}),
    ("vcvt.f64.f32 d1, s5", "fcvt", s(5), d(1), {}),
    ("vcvt.f32.f64 s5, d1", "fcvt", d(1), s(5), {}),
    ("vcvt.s32.f64 s5, d1", "fcvt", d(1), s(5), {}),
    ("vcvt.f32.f16 q1, d4", "fcvt", d(4), q(1), {}),
    ("vcvt.f16.f32 d4, q1", "fcvt", q(1), d(4), {}),
    ("vmov r1, s2", "to_general", s(2), {1}, {}),
    ("vmov s2, r1", "from_general", {1}, s(2), {}),
    ("vmov d2, r1, r3", "insert_general", {1, 3}, d(2), {}),
    ("vmov r1, r3, d2", "to_general", d(2), {1, 3}, {}),
    ("vmov.32 d2[1], r1", "insert_general", {1}, s(5), {}),
    ("vmov.32 d20[1], r1", "insert_general", {1} | d(20), d(20), {}),
    ("vmov.32 r1, d2[1]", "to_general", s(5), {1}, {}),
    ("vmov.f32 s1, #1.0", "vimm", set(), s(1), {}),
    ("vmov.f32 q1, #1.0", "vimm", set(), q(1), {}),
    ("vmov.i32 q1, #0", "vimm", set(), q(1), {}),
    ("vorr.i32 q1, #1", "vlogic", q(1), q(1), {}),
    ("vdup.32 q1, r2", "dup_general", {2}, q(1), {"wide": True}),
    ("vdup.32 q1, d3[1]", "permute", s(7), q(1), {"wide": True}),
    ("vdup.32 d1, d18[1]", "permute", d(18), d(1), {}),
    ("vmov q1, q2", "vlogic", q(2), q(1), {}),
    ("vext.32 q1, q2, q3, #1", "permute", q(2, 3), q(1), {}),
    ("vtrn.32 q1, q2", "permute", q(1, 2), q(1, 2), {}),
    ("vzip.32 q1, q2", "permute", q(1, 2), q(1, 2), {}),
    ("vswp d1, d2", "permute", d(1, 2), d(1, 2), {}),
    ("vrev64.32 q1, q2", "permute", q(2), q(1), {}),
    ("vtbl.8 d1, {d2, d3}, d4", "permute", d(2, 3, 4), d(1), {}),
    ("vbsl q1, q2, q3", "vlogic", q(1, 2, 3), q(1), {}),
    ("vand q1, q2, q3", "vlogic", q(2, 3), q(1), {}),
    ("vmla.i32 q1, q2, q3", "vmul", q(1, 2, 3), q(1), {}),
    ("vmul.i32 q1, q2, d3[0]", "vmul", q(2) | s(6), q(1), {}),
    ("vmlal.s16 q1, d4, d5", "vmul_long", q(1) | d(4, 5), q(1), {"wide": True}),
    ("vmull.s16 q1, d4, d5[1]", "vmul_long", d(4) | s(10), q(1), {}),
    ("vshl.i32 q1, q2, #3", "vshift", q(2), q(1), {}),
    ("vsli.32 q1, q2, #3", "vshift", q(1, 2), q(1), {}),
    ("vmovl.s16 q1, d4", "vshift", d(4), q(1), {"wide": True}),
    ("vmovn.i32 d2, q2", "permute", q(2), d(2), {}),
    ("vshrn.i32 d2, q2, #4", "vshift", q(2), d(2), {}),
    ("vpaddl.s16 q1, q2", "vlogic", q(2), q(1), {}),
]


@cache
def assembled(texts: tuple[str, ...], directory: Path, head: str = ".arm") -> Path:
    lines = (".syntax unified", ".arch_extension idiv", ".fpu neon-fp-armv8", head, ".text", ".globl _start", "_start:")
    (directory / "case.S").write_text("\n".join([*lines, *texts]) + "\n")
    command = (*zig_command(), "cc", "-target", "arm-linux-musleabihf", "-mcpu=cortex_a53", "-nostdlib", "-static")
    subprocess.run((*command, "case.S", "-o", "case"), cwd=directory, check=True, timeout=300)
    return directory / "case"


def in_order(program: Path, count: int) -> list[int]:
    """The first words of the code, which begins at the entry."""
    data = program.read_bytes()
    entry, headers = (int.from_bytes(data[at : at + 4], "little") for at in (24, 28))
    for number in range(int.from_bytes(data[44:46], "little")):
        place = headers + 32 * number
        kind, offset, address, _, size = (
            int.from_bytes(data[at : at + 4], "little") for at in range(place, place + 20, 4)
        )
        if kind == 1 and address <= entry < address + size:
            first = offset + entry - address
            return [int.from_bytes(data[at : at + 4], "little") for at in range(first, first + 4 * count, 4)]
    raise AssertionError("no code")


@pytest.fixture(scope="module")
def encodings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, int]:
    texts = tuple(text for text, *_ in CASES)
    program = assembled(texts, tmp_path_factory.mktemp("a32"))
    return dict(zip(texts, in_order(program, len(texts)), strict=True))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case[0])
def test_it_is_what_the_assembler_was_told(case: Case, encodings: dict[str, int]) -> None:
    text, kind, sources, targets, facts = case
    found = decode(encodings[text])
    assert (found.kind, set(found.sources), set(found.targets)) == (kind, sources, targets)
    assert {name: getattr(found, name) for name in facts} == facts


CORES_32 = {name: core for name, core in CORES.items() if core.code == "a32"}


@pytest.mark.parametrize("core", CORES_32.values(), ids=CORES_32)
def test_every_kind_but_nothing_takes_a_pipeline(core: Core, encodings: dict[str, int]) -> None:
    for text, word in encodings.items():
        instruction = decode(word)
        assert bool(core.timing(instruction).uops) == (instruction.kind != "nop"), text


@settings(max_examples=500, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_no_word_is_too_strange(word: int) -> None:
    found = decode(word)
    assert all(0 <= register < REGISTERS for register in (*found.sources, *found.targets))
    for core in CORES_32.values():
        assert encode(core, (word,))


def test_a_single_register_is_a_part_of_a_double_and_that_of_a_quad(encodings: dict[str, int]) -> None:
    assert s(0, 1) == d(0)
    assert d(0, 1) == q(0) == s(0, 1, 2, 3)
    assert not d(16) & (s(*range(32)) | d(17))
    assert len(d(*range(32))) == 48


def test_the_words_of_a_program_are_found_once_each(tmp_path: Path) -> None:
    texts = ("nop", "add r0, r1, r2", "nop", "bx lr")
    program = assembled(texts, tmp_path)
    assert set(in_order(program, 4)) <= set(code_words(program, "a32"))
    assert list(code_words(program, "a32")) == sorted(set(code_words(program, "a32")))


def test_thumb_code_and_that_of_another_instruction_set_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="is Thumb code"):
        code_words(assembled(("nop",), tmp_path, ".thumb\n.thumb_func\n.type _start, %function"), "a32")
    with pytest.raises(ConfigurationError, match="no 64-bit program"):
        code_words(tmp_path / "case", "a64")
