//! Diagnostics before they are rendered: byte positions instead of source lines.

use super::node::Place;

/// A problem and its place.
#[derive(Debug, Clone)]
pub(super) struct RawDiagnostic {
    pub(super) place: Place,
    /// The field; empty if the problem belongs to none.
    pub(super) path: String,
    pub(super) message: String,
    pub(super) hint: Option<String>,
    pub(super) other: Option<Other>,
}

/// A second place that belongs to a diagnostic.
#[derive(Debug, Clone)]
pub(super) struct Other {
    /// The index of the source, if it is not the diagnostic's own.
    pub(super) source: Option<usize>,
    pub(super) place: Place,
    pub(super) label: String,
}

impl RawDiagnostic {
    pub(super) fn new(
        place: Place,
        path: impl Into<String>,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        let hint = Some(hint.into());
        Self { place, path: path.into(), message: message.into(), hint, other: None }
    }

    pub(super) fn with_other(mut self, place: Place, label: impl Into<String>) -> Self {
        self.other = Some(Other { source: None, place, label: label.into() });
        self
    }
}
