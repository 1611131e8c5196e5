"""Keys are nobody else's: not on a command line, in the environment or in a file."""

from __future__ import annotations

import stat
from pathlib import Path

from nbscale.testing.jobs import plain, run, stage


def keys(engine):
    return [worker.inbound._key for worker in engine.pool._workers.values()]


def test_each_worker_has_a_key_of_its_own(engine):
    assert len({*keys(engine)}) == len(keys(engine)) == 2
    assert {len(key) for key in keys(engine)} == {32}


def test_a_key_is_found_nowhere_that_others_look(engine):
    run(engine, plain(stage(0, 2, lambda index: index, result=0)))
    secrets = [form for key in keys(engine) for form in (key, key.hex().encode())]
    folder = Path(engine.pool._folder)
    places = [path for path in folder.rglob("*") if path.is_file()]
    for pid in (*engine.workers, engine.zygote, "self"):
        places += [Path(f"/proc/{pid}/{name}") for name in ("cmdline", "environ")]
    assert len(places) >= 8
    for place in places:
        text = place.read_bytes()
        assert not any(secret in text for secret in secrets), place


def test_only_the_user_may_enter_the_folder(engine):
    folder = Path(engine.pool._folder)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert not folder.is_symlink()
    assert any(stat.S_ISSOCK(path.stat().st_mode) for path in folder.iterdir())
