# SPDX-License-Identifier: Apache-2.0
"""The bond to Nav2's lifecycle manager, with a module that has bondpy's interface.

bondpy belongs to a ROS installation and not to the packages of these tests.
"""

from __future__ import annotations

import sys
import types

import pytest
from ros_helpers import FakeCamera, running_node, wait_until

from dinoiser_ros.ros.segment.lifecycle.bond import ManagerBond

# bondpy.bondpy.Bond as far as ROS 2's documents and its C++ twin describe it: settings only before
# start, a subscription and a publisher of the given node, both destroyed by shutdown.
STAND_IN = """
import sys, types
from std_msgs.msg import String

class Bond:
    def __init__(self, topic, id, node, on_broken=None, on_formed=None):
        self.topic, self.id, self.node, self.started = topic, id, node, False
        self.pub = node.create_publisher(String, topic, 1)

    def set_heartbeat_period(self, seconds):
        assert not self.started

    def set_heartbeat_timeout(self, seconds):
        assert not self.started

    def start(self):
        self.sub = self.node.create_subscription(String, self.topic, lambda _: None, 1)
        self.started = True
        self.pub.publish(String(data="alive"))
        print("bond alive", self.topic, self.id, flush=True)

    def shutdown(self):
        self.pub.publish(String(data="dead"))
        self.sub.destroy()
        self.pub.destroy()
        print("bond dead", self.topic, self.id, flush=True)

package, module = types.ModuleType("bondpy"), types.ModuleType("bondpy.bondpy")
module.Bond = Bond
package.bondpy = module
sys.modules.update({"bondpy": package, "bondpy.bondpy": module})
"""
RUN = STAND_IN + "\nfrom dinoiser_ros.ros.segment.main import main\nsys.exit(main())"


def test_a_bond_lives_as_long_as_the_node_is_active(monkeypatch: pytest.MonkeyPatch) -> None:
    import ros_helpers

    monkeypatch.setattr(ros_helpers, "_RUN", RUN)
    with running_node() as (process, client):
        wait_until(lambda: process.log.count("bond alive bond dinoiser") == 1, "a bond")
        assert client.change_state("deactivate")
        wait_until(lambda: process.log.count("bond dead bond dinoiser") == 1, "the bond's end")
        assert client.change_state("activate")
        wait_until(lambda: process.log.count("bond alive") == 2, "a second bond")
        camera = FakeCamera(client)
        camera.connect()
        camera.publish()  # the node still works with the first bond's topics destroyed
        assert client.state() == "active"
        process.stop()
        assert process.log.count("bond dead") == 2
        assert "Traceback" not in process.log


class _Node:
    """What `ManagerBond` uses of a node."""

    def __init__(self) -> None:
        self.destroyed: list[object] = []

    def get_name(self) -> str:
        return "dinoiser"

    def destroy_subscription(self, entity: object) -> None:
        self.destroyed.append(entity)

    def destroy_publisher(self, entity: object) -> None:
        self.destroyed.append(entity)


def _install(monkeypatch: pytest.MonkeyPatch, bond: type) -> None:
    package, module = types.ModuleType("bondpy"), types.ModuleType("bondpy.bondpy")
    module.Bond = bond
    monkeypatch.setitem(sys.modules, "bondpy", package)
    monkeypatch.setitem(sys.modules, "bondpy.bondpy", module)


def test_without_bondpy_nothing_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bondpy", None)
    reports: list[tuple[str, str]] = []
    bond = ManagerBond(_Node(), lambda *report: reports.append(report))
    bond.form()
    bond.break_()
    assert not reports


def test_a_bondpy_that_fails_is_reported_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        def __init__(self, *_: object) -> None:
            raise TypeError("another signature")

    _install(monkeypatch, Broken)
    reports: list[tuple[str, str]] = []
    bond = ManagerBond(_Node(), lambda *report: reports.append(report))
    bond.form()
    bond.break_()
    assert reports == [("bond", "no bond to a lifecycle manager: another signature")]


def test_what_bondpy_made_does_not_stay_in_the_node(monkeypatch: pytest.MonkeyPatch) -> None:
    class Failing:
        sub, pub = "subscription", "publisher"
        made = 0

        def __init__(self, topic: str, id: str, node: object) -> None:
            assert (topic, id) == ("bond", "dinoiser")
            type(self).made += 1

        def set_heartbeat_period(self, seconds: float) -> None:
            self.period = seconds

        def set_heartbeat_timeout(self, seconds: float) -> None:
            assert seconds > 4 * self.period

        def start(self) -> None: ...

        def shutdown(self) -> None:
            raise RuntimeError("gone")

    _install(monkeypatch, Failing)
    node, reports = _Node(), []
    bond = ManagerBond(node, lambda *report: reports.append(report))
    bond.form()
    bond.form()
    assert Failing.made == 1
    bond.break_()
    bond.break_()
    assert node.destroyed == ["subscription", "publisher"]
    assert len(reports) == 1 and "gone" in reports[0][1]
