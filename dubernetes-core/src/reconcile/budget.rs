//! How many replicas may be live, and how many must stay ready.

use crate::app::{AppSpec, VolumeSource};

/// The limits of one app's changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Limits {
    /// So many replicas are wanted.
    pub(super) want: u32,
    /// So many may be live at one time.
    pub(super) ceiling: u32,
    /// So many must stay ready while we act.
    pub(super) floor: u32,
}

impl Limits {
    /// One replica above the wanted number, none below it. A lone replica that writes to a volume
    /// is never joined by a second one: two writers could spoil what is on it, so it stops first.
    pub(super) fn of(spec: &AppSpec) -> Self {
        let want = u32::from(spec.replicas);
        if stops_first(spec) {
            return Self { want, ceiling: want, floor: 0 };
        }
        Self { want, ceiling: want + 1, floor: want }
    }
}

/// Whether the old replica must be gone before the new one may start.
fn stops_first(spec: &AppSpec) -> bool {
    let writes = |source: &VolumeSource| match source {
        VolumeSource::Named(_) | VolumeSource::Bind(_) => true,
    };
    spec.replicas == 1 && spec.volumes.iter().any(|v| !v.read_only && writes(&v.source))
}
