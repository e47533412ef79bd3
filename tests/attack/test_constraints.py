from __future__ import annotations

from tests.attack.constraints import attack


def test_hostile_constraints_hurt_nobody_else() -> None:
    report = attack(1)
    assert set(report.statuses) <= {400}
    assert report.ready["status"] == "ready"
    # Generous: a busy machine is slow. Before, health took minutes.
    assert not report.seen.failures
    assert max(report.seen.health) < 5
    assert max(report.seen.beside) < 20
    assert set(report.tools_statuses) == {200}
    assert max(report.tools) < 20
    assert report.seen.after < report.seen.before + (200 << 20)
