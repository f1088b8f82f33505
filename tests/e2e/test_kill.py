"""Processes are killed with SIGKILL: one by one, where what must go on does and the rest converges (docs/failure-modes.md; more
of it in tests/cluster/test_fail.py); and at random while commits arrive, where the cluster equals Git after each round.

GITMOOR_FAIL_ROUNDS=20 makes a measurement of the first: scripts/test fail."""
import os
import random
import time

import pytest

from harness.cluster import PROCESSES
from harness.failures import Drill, Measured, rounds
from harness.mooring import config_map
from harness.waiting import wait_for

ROUNDS = int(os.environ.get("GITMOOR_KILL_ROUNDS", "50"))


@pytest.fixture(scope="module")
def measured():
    return Measured()


@pytest.fixture
def drill(api, moored, repository):
    """An application that is in sync."""
    repository.commit(Drill.files())
    made = Drill(api, moored, repository)
    yield made
    made.close()


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("process", PROCESSES)
def test_a_process_is_killed(gitmoor, drill, measured, process):
    """It is missing for as long as it takes to look; then it starts again."""
    took = []
    for _ in range(rounds(1)):
        gitmoor.kill(process)
        try:
            drill.check(f"{process} killed")
        finally:
            ended = time.monotonic()
            gitmoor.start_one(process, wait=False)
        took.append(drill.converge(ended)[0])
    gitmoor.wait_ready(process)
    measured.add(f"{process} killed", took)


@pytest.mark.timeout(1200)
def test_the_git_server_is_gone(git_server, drill, measured):
    took = []
    for _ in range(rounds(1)):
        git_server.stop()
        try:
            drill.check("Git server gone")
        finally:
            git_server.start()
        took.append(drill.converge(time.monotonic(), told=False)[0])
    measured.add("Git server gone", took)


class Content:
    """What Git declares, changed at random: name -> data."""

    def __init__(self, dice):
        self.dice, self.state, self.count = dice, {}, 0

    def change(self):
        """Files of the next commit: some ConfigMaps added, changed, removed; one always stays. The last is never a removal: what is
        added and removed at once would leave a commit that changes nothing, and such a revision is none of the application's."""
        files = {}
        for left in reversed(range(self.dice.randint(1, 4))):
            self.count += 1
            name = f"c{self.dice.randint(0, 11)}"
            if left and name in self.state and self.dice.random() < 0.4:
                del self.state[name]
                files[f"deploy/{name}.yaml"] = None
            else:
                self.state[name] = {"step": str(self.count)}
                files[f"deploy/{name}.yaml"] = config_map(name, step=str(self.count))
        return files

    @property
    def declared(self):
        return {"keep": {}, **self.state}


def commit(shop, content):
    files = content.change()
    folder = shop.repository.folder
    shop.push({path: text for path, text in files.items() if text is not None or (folder / path).exists()})


@pytest.mark.timeout(900)
def test_the_cluster_equals_git_after_each_of_many_kills(repository, moored, gitmoor):
    seed = int(os.environ.get("GITMOOR_KILL_SEED", str(time.time_ns() % 1000000)))
    print(f"GITMOOR_KILL_SEED={seed}")
    dice = random.Random(seed)
    content = Content(dice)
    repository.commit({"deploy/keep.yaml": config_map("keep")})
    shop = moored(repository)
    shop.wait_applied()
    for number in range(ROUNDS):
        victims = dice.sample(PROCESSES, dice.choice((1, 1, 2, 4)))
        commit(shop, content)
        time.sleep(dice.random() * 0.15)  # the instant of the kill is what is random here
        for victim in victims:
            gitmoor.kill(victim)
        if dice.random() < 0.5:
            commit(shop, content)
        for victim in victims:
            gitmoor.start_one(victim, wait=False)
        what, began = f"round {number}, killed {victims}, seed {seed}", time.monotonic()
        try:
            shop.wait_applied(timeout=150)  # a lost hint is made good by the digests, once a minute
            wait_for(lambda: shop.live() == content.declared, timeout=10, what="the cluster equals Git")
        except AssertionError as error:
            raise AssertionError(f"{what}: {error}\nlive {shop.live()}\ngit {content.declared}\n"
                                 f"source {shop.source()}\n{gitmoor.logs(60)}") from None
        if time.monotonic() - began > 15:
            print(f"{what}: {time.monotonic() - began:.1f} s\n{gitmoor.logs(40)}")
    for name in PROCESSES:
        gitmoor.wait_ready(name)
