//! The plan as text: the log, the output of `dubernetes plan`, and the oracle of the tests.
