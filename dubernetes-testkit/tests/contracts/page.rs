//! `docs/conformance.md`: which adapter passes which check.

