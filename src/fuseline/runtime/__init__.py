"""Plans that run: a plan as a callable, its times, and what they are held against."""

from fuseline.runtime.execute import Executable, execute

__all__ = ["Executable", "execute"]
