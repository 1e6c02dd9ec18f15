//! Validated specifications: proof that a specification breaks no rule and is complete.

use std::borrow::Borrow;
use std::error::Error;
use std::fmt;
use std::ops::Deref;

use super::escape::quote;
use super::{AppSpec, Permissions, Problem};

/// A specification that breaks no rule, with the contents of all its files.
///
/// Only [`AppSpec::validate`] makes one. It cannot be changed: take the specification out with
/// [`ValidSpec::into_inner`], change it, and validate it again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValidSpec(AppSpec);

impl ValidSpec {
    /// Returns the specification.
    pub fn into_inner(self) -> AppSpec {
        self.0
    }
}

impl Deref for ValidSpec {
    type Target = AppSpec;

    fn deref(&self) -> &AppSpec {
        &self.0
    }
}

impl Borrow<AppSpec> for ValidSpec {
    fn borrow(&self) -> &AppSpec {
        &self.0
    }
}

/// The problems of a specification.
///
/// Displays as one line for each problem.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct InvalidSpec {
    /// The problems, at least one.
    pub problems: Vec<Problem>,
}

impl InvalidSpec {
    /// Returns these problems, of which there is at least one.
    pub fn new(problems: Vec<Problem>) -> Self {
        Self { problems }
    }
}

impl fmt::Display for InvalidSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}{problem}")?;
        }
        Ok(())
    }
}

impl Error for InvalidSpec {}

impl AppSpec {
    /// Checks all rules over several fields, that the content of every file is known,
    /// and that every host folder and the program are absolute.
    ///
    /// # Errors
    ///
    /// Returns every problem: those of [`AppSpec::problems`], the files that were not read, and
    /// relative paths of host folders and of the program.
    ///
    /// # Examples
    ///
    /// ```
    /// use dubernetes_core::app::AppSpec;
    ///
    /// let mut spec = AppSpec::new("shop".parse()?, "shop:1.5".parse()?);
    /// let valid = spec.clone().validate()?;
    /// assert_eq!(valid.replicas, 1);
    ///
    /// spec.replicas = 60_000;
    /// let invalid = spec.validate().unwrap_err();
    /// assert_eq!(invalid.problems[0].path, "replicas");
    /// assert!(invalid.to_string().contains("must be at most 250, not 60000"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn validate(self) -> Result<ValidSpec, InvalidSpec> {
        self.check().map(|()| ValidSpec(self))
    }

    /// Checks what [`AppSpec::validate`] checks, and keeps the specification.
    ///
    /// # Errors
    ///
    /// Those of [`AppSpec::validate`].
    pub fn check(&self) -> Result<(), InvalidSpec> {
        let problems = self.all_problems();
        if problems.is_empty() { Ok(()) } else { Err(InvalidSpec { problems }) }
    }

    /// Checks what [`AppSpec::check`] checks, and that no value needs a permission that is not in
    /// `allowed`.
    ///
    /// # Errors
    ///
    /// Those of [`AppSpec::check`], and a problem for each missing permission.
    pub fn check_with(&self, allowed: &Permissions) -> Result<(), InvalidSpec> {
        let mut problems = self.all_problems();
        problems.extend(self.forbidden(allowed));
        if problems.is_empty() { Ok(()) } else { Err(InvalidSpec { problems }) }
    }

    fn all_problems(&self) -> Vec<Problem> {
        let mut problems = self.problems();
        problems.extend(self.unread_files().map(|(path, reference)| Problem {
            path: path.join("."),
            message: format!("{} was not read", reference.source.describe()),
            hint: Some("`dubernetes_manifest::parse_reading` reads the files".to_owned()),
        }));
        let program = self.artifact.relative_program();
        problems.extend(program.map(|path| Problem {
            path: "program".to_owned(),
            message: format!("the path of the program {} is relative", quote(path.as_str())),
            hint: Some("`apply` resolves it; elsewhere write an absolute path".to_owned()),
        }));
        let volumes = self.volumes.iter().enumerate().filter(|(_, volume)| volume.is_relative());
        problems.extend(volumes.map(|(index, volume)| Problem {
            path: format!("volumes.{index}"),
            message: format!("the host folder of {} is relative", quote(&volume.to_string())),
            hint: Some("`apply` resolves it; elsewhere write an absolute path".to_owned()),
        }));
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Content, ContentRef, EnvValue, Secret};
    use super::*;

    fn spec() -> AppSpec {
        AppSpec::new("web".parse().unwrap(), "web:1".parse().unwrap())
    }

    #[test]
    fn invalid_specification_reports_every_problem_on_its_own_line() {
        let mut spec = spec();
        spec.replicas = 60_000;
        spec.port = Some(0);
        spec.labels.insert("dubernetes.app".to_owned(), "other".to_owned());
        let invalid = spec.validate().unwrap_err();
        let paths: Vec<&str> = invalid.problems.iter().map(|found| found.path.as_str()).collect();
        assert_eq!(paths, ["replicas", "port", "labels.dubernetes.app"]);
        assert_eq!(invalid.to_string().lines().count(), 3, "{invalid}");
    }

    #[test]
    fn unread_file_is_refused_with_the_function_that_reads_it() {
        let mut spec = spec();
        let mut file = ContentRef::unread("./password".parse().unwrap());
        spec.env.insert("PASSWORD".parse().unwrap(), EnvValue::From(file.clone()));
        let invalid = spec.clone().validate().unwrap_err();
        assert_eq!(
            invalid.to_string(),
            "env.PASSWORD: the file `./password` was not read \
             (`dubernetes_manifest::parse_reading` reads the files)"
        );
        file.content = Content::Known(Secret::new("x"));
        spec.env.insert("PASSWORD".parse().unwrap(), EnvValue::From(file));
        assert_eq!(spec.clone().validate().map(ValidSpec::into_inner), Ok(spec));
    }
}
