from __future__ import annotations

from tests.attack.constraints import attack


def test_hostile_constraints_hurt_nobody_else() -> None:
    report = attack(1)
    assert set(report.statuses) <= {400}
    assert report.ready["status"] == "ready"
    # Generous: a busy machine is slow. Before, health took minutes.
    assert max(report.health) < 5
    assert max(report.chat) < 20
    assert set(report.tools_statuses) == {200}
    assert max(report.tools) < 20
    assert report.after < report.before + (200 << 20)
