"""The wall: thirty-one faults by the name of a model, and the suite that judges whatever stands before it."""
