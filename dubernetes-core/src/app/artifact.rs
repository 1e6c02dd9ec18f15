//! What the replicas of an app run.

use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{FilePath, ImageRef};

/// What the replicas of an app run: the key `image` or `program` of a specification.
///
/// # Examples
///
/// ```
/// use dubernetes_core::app::{Artifact, FilePath, ImageRef};
///
/// let image = Artifact::from(ImageRef::parse("web:1")?);
/// assert_eq!(image.to_string(), "web:1");
/// let program = Artifact::Program(FilePath::parse("/srv/web")?);
/// assert_eq!(program.to_string(), "/srv/web");
/// assert_eq!(program.image(), None);
/// # Ok::<(), dubernetes_core::app::ParseError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Artifact {
    /// An image: each replica is a container.
    Image(ImageRef),
    /// A program of the host, by its path or its name in `PATH`: each replica is a process.
    Program(FilePath),
}

impl Artifact {
    /// Returns the reference of the image; `None` for a program.
    pub fn image(&self) -> Option<&ImageRef> {
        match self {
            Self::Image(image) => Some(image),
            Self::Program(_) => None,
        }
    }

    /// Returns the path of the program; `None` for an image.
    pub fn program(&self) -> Option<&FilePath> {
        match self {
            Self::Image(_) => None,
            Self::Program(path) => Some(path),
        }
    }

    /// Returns the program, if its path does not start at the root.
    pub(super) fn relative_program(&self) -> Option<&FilePath> {
        self.program().filter(|path| !Path::new(path.as_str()).is_absolute())
    }

    /// Returns the key of a specification that holds it: `image` or `program`.
    pub fn key(&self) -> &'static str {
        match self {
            Self::Image(_) => "image",
            Self::Program(_) => "program",
        }
    }

    /// Returns the reference of the image, or the path of the program.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Image(image) => image.as_str(),
            Self::Program(path) => path.as_str(),
        }
    }
}

impl From<ImageRef> for Artifact {
    fn from(image: ImageRef) -> Self {
        Self::Image(image)
    }
}

impl fmt::Display for Artifact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::super::AppSpec;

    #[test]
    fn specification_names_an_image_or_a_program() {
        for json in [
            r#"{"name":"web","image":"web:1","replicas":1}"#,
            r#"{"name":"web","program":"/srv/web","replicas":1}"#,
        ] {
            let spec: AppSpec = serde_json::from_str(json).unwrap();
            assert_eq!(serde_json::to_string(&spec).unwrap(), json);
        }
        for json in [
            r#"{"name":"web"}"#,
            r#"{"name":"web","image":"web:1","program":"/srv/web"}"#,
            r#"{"name":"web","program":"~/web"}"#,
        ] {
            assert!(serde_json::from_str::<AppSpec>(json).is_err(), "{json}");
        }
    }
}
