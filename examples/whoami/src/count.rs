//! A counter in a file, shared by all replicas on the same volume.

use std::fs::File;
use std::io::{Read as _, Seek as _, Write as _};
use std::path::Path;

/// Increments the counter and returns it. Locks the file, so that concurrent increments are not
/// lost.
pub(crate) fn increment(path: &Path) -> std::io::Result<u64> {
    let mut file =
        File::options().read(true).write(true).create(true).truncate(false).open(path)?;
    file.lock()?;
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    let count = text.trim().parse().unwrap_or(0_u64).saturating_add(1);
    file.rewind()?;
    // The number never gets shorter, so it overwrites the old one completely.
    writeln!(file, "{count}")?;
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counter_continues() {
        let path = std::env::temp_dir().join(format!("whoami-count-{}", std::process::id()));
        let counts: Vec<_> = (0..11).map(|_| increment(&path).unwrap()).collect();
        let kept = std::fs::read_to_string(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(counts, (1..=11).collect::<Vec<_>>());
        assert_eq!(kept, "11\n");
    }
}
