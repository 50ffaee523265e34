"""The archive of Kafka's classes: made once, and never in the way of a broker."""

import os
from pathlib import Path

import pytest

from deploy.local.class_archive import ClassArchive
from deploy.local.lock import locked

WRITES = 'for word; do case "$word" in -XX:SharedArchiveFile=*) echo laid out > "${word#*=}";; esac; done'


class Scene:
    """A Java that is a script, and what a broker of its said that it loaded."""

    def __init__(self, folder: Path) -> None:
        self.cache, self.loaded, self.calls = folder / "cache", folder / "loaded.txt", folder / "calls.txt"
        self.cache.mkdir()
        self.java, self._script = folder / "java", folder / "script.sh"
        self.java.write_text(f'#!/bin/sh\necho "$@" >> {self.calls}\n. {self._script}\n')
        self.java.chmod(0o755)
        self.becomes(WRITES)

    def becomes(self, script: str) -> None:
        """What this Java does; it is the same one, as far as one can see."""
        self._script.write_text(script)

    @property
    def archive(self) -> ClassArchive:
        return ClassArchive(self.cache, str(self.java), "a.jar:b.jar")

    def start(self) -> list[str]:
        """The options of a broker that answers."""
        options = self.archive.options(self.loaded)
        if any("DumpLoaded" in option for option in options):
            self.loaded.write_text("kafka/Kafka id: 1\n")
        self.archive.make(self.loaded, ["-Xmx512m"])
        return options

    @property
    def made(self) -> list[str]:
        return self.calls.read_text().splitlines() if self.calls.exists() else []


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def test_the_first_broker_makes_it_and_the_next_use_it(scene: Scene) -> None:
    assert scene.archive.options() == []
    assert scene.start() == [f"-XX:DumpLoadedClassList={scene.loaded}"]
    (file,) = scene.cache.glob("*.jsa")
    assert scene.start() == scene.archive.options() == [f"-XX:SharedArchiveFile={file}"]
    (command,) = scene.made
    assert command.startswith("-Xmx512m -Xshare:dump ")
    assert command.endswith("-cp a.jar:b.jar")
    assert not scene.loaded.exists()


def test_another_java_in_its_place_makes_its_own(scene: Scene) -> None:
    scene.start()
    os.utime(scene.java, (1, 1))
    scene.start()
    assert len(scene.made) == 2


@pytest.mark.parametrize("script", ["exit 1", f"{WRITES}; exit 1", f"{WRITES}; exec sleep 60"])
def test_one_that_cannot_be_made_is_done_without(
    scene: Scene, script: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deploy.local.class_archive._SECONDS", 0.2)
    scene.becomes(script)
    scene.start()
    assert scene.start() == []
    assert len(scene.made) == 1
    (file,) = scene.cache.glob("*.jsa")
    os.utime(file, (1, 1))  # a day ago and more
    scene.becomes(WRITES)
    scene.start()
    assert scene.archive.options() == [f"-XX:SharedArchiveFile={file}"]


def test_a_jar_that_was_downloaded_again_makes_another(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(scene.cache.parent)
    Path("a.jar").write_text("a jar")
    scene.start()
    Path("a.jar").write_text("another jar")
    scene.start()
    assert len(scene.made) == 2


def test_who_comes_second_does_not_wait(scene: Scene) -> None:
    with locked(scene.cache / "classes.lock"):
        scene.start()
    assert scene.made == []


def test_a_folder_that_is_not_there_is_no_error(scene: Scene) -> None:
    scene.cache.rmdir()
    assert scene.start() == scene.start() == [f"-XX:DumpLoadedClassList={scene.loaded}"]


def test_the_oldest_go(scene: Scene) -> None:
    for number in range(6):
        os.utime(scene.java, (number, number))
        scene.start()
    assert len(list(scene.cache.glob("*.jsa"))) == 4
    assert scene.archive.options() != []
