//! Remarks of a conversion: what has no equivalent, is changed, or has to be known.

use std::fmt;

/// One remark about a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note<Place> {
    /// Where the key is.
    pub place: Place,
    /// What is left out or is changed, and why, as a sentence fragment.
    pub message: String,
    /// What to do instead, if anything.
    pub help: Option<String>,
}

impl<Place: fmt::Display> Note<Place> {
    /// Returns the note without its help: the place, and what is left out or changed.
    pub fn headline(&self) -> String {
        format!("{}: {}", self.place, self.message)
    }
}

impl<Place: fmt::Display> fmt::Display for Note<Place> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.headline())?;
        match &self.help {
            Some(help) => write!(f, "\n  help: {help}"),
            None => Ok(()),
        }
    }
}
