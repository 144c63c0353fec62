"""Everything that keeps something on the disk."""

from tests.support.keepers.base import Keeper
from tests.support.keepers.boards import HostKeysKeeper, SessionKeeper
from tests.support.keepers.builds import BundlesKeeper, LibraryKeeper
from tests.support.keepers.records import DeliveryKeeper, RecordsKeeper
from tests.support.keepers.tuning import OutputKeeper, SearchKeeper

KEEPERS: tuple[Keeper, ...] = (
    SearchKeeper(), RecordsKeeper(), DeliveryKeeper(), SessionKeeper(), HostKeysKeeper(), LibraryKeeper(),
    BundlesKeeper(), OutputKeeper(),
)  # fmt: skip
