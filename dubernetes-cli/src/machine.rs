//! What this machine has, compared with what apps may use.

use dubernetes_core::app::{AppSpec, Memory};

/// Returns the memory of this machine, rounded down to a mebibyte.
fn memory() -> Option<Memory> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibibytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Memory::parse(&format!("{}Mi", kibibytes >> 10)).ok()
}

/// Says that `used`, such as `900Gi`, is more than this machine has; `None` if it is not.
pub(crate) fn too_little_memory(used: &str) -> Option<String> {
    exceeds(Memory::parse(used).ok()?, memory()?)
}

fn exceeds(used: Memory, machine: Memory) -> Option<String> {
    (used > machine).then(|| format!("more than the {machine} of this machine"))
}

/// Returns a warning for each app whose replica may use more memory than this machine has.
pub(crate) fn warnings(specs: &[AppSpec]) -> Vec<String> {
    let warning = |spec: &AppSpec| {
        let limit = spec.resources.memory?.to_string();
        let excess = too_little_memory(&limit)?;
        Some(format!("a replica of app/{} may use {limit} of memory, {excess}", spec.name))
    };
    specs.iter().filter_map(warning).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limit_above_the_machine_is_said_with_both_numbers() {
        let parsed = |text: &str| Memory::parse(text).unwrap();
        assert_eq!(exceeds(parsed("24Gi"), parsed("24Gi")), None);
        let excess = exceeds(parsed("300Gi"), parsed("24063Mi"));
        assert_eq!(excess.as_deref(), Some("more than the 24063Mi of this machine"));
        let mut spec = AppSpec::new("web".parse().unwrap(), "web:1".parse().unwrap());
        spec.resources.memory = Some(parsed("16Ti"));
        let warnings = warnings(&[spec]);
        let start = "a replica of app/web may use 16Ti of memory, more than the ";
        assert!(warnings[0].starts_with(start), "{warnings:?}");
    }
}
