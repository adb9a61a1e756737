"""What looks at the elements say in a finding's evidence.

Only puts numbers into words; what they mean is each rule's own.
"""

from __future__ import annotations

from pipeprof.model.diagnosis import Evidence
from pipeprof.model.looks import ElementLook


def observed(look: ElementLook | None, name: str) -> tuple[Evidence, ...]:
    """Return the evidence of a look: the share that it found, beside that of its control; nothing where there is no look."""
    if look is None:
        return ()
    shares = [Evidence(name=name, value=look.same, unit="share of the elements read again", n=look.elements)]
    if look.control is not None:
        shares.append(Evidence(name=f"{name}_control", value=look.control, unit="share of the elements read again"))
    return tuple(shares)
