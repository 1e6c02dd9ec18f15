//! How things are named: `pods`, `app/web`, `web-1`.

use std::ffi::OsStr;

use clap::builder::{EnumValueParser, PossibleValue, TypedValueParser};
use clap::error::ErrorKind;
use clap::{Arg, Command, ValueEnum};

use super::suggestions;

/// What can be listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// Apps.
    #[value(alias = "app")]
    Apps,
    /// Pods.
    #[value(aliases = ["pod", "po"])]
    Pods,
    /// Revisions of apps.
    #[value(aliases = ["revision", "rev"])]
    Revisions,
    /// Events.
    #[value(aliases = ["event", "ev"])]
    Events,
    /// Routes.
    #[value(alias = "route")]
    Routes,
}

/// `pods`, or `pod/web-1`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Resource {
    /// What it is.
    pub(crate) kind: Kind,
    /// Its name, if one was given.
    pub(crate) name: Option<String>,
}

/// Reads a [`Reference`], with clap's own suggestions for the kind.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ResourceParser;

impl TypedValueParser for ResourceParser {
    type Value = Resource;

    fn parse_ref(
        &self,
        command: &Command,
        arg: Option<&Arg>,
        value: &OsStr,
    ) -> Result<Resource, clap::Error> {
        let text = value.to_string_lossy();
        let (kind, name) = match text.split_once('/') {
            Some((kind, name)) => (kind, Some(name)),
            None => (&*text, None),
        };
        if let Some(here) = suggestions::kind(kind) {
            let what = format!("`{kind}` of other tools are `{here}s` here: `get {here}s`\n");
            return Err(clap::Error::raw(ErrorKind::ValueValidation, what).with_cmd(command));
        }
        let kind = EnumValueParser::<Kind>::new().parse_ref(command, arg, OsStr::new(kind))?;
        if name == Some("") {
            let what = "a name is missing behind the `/`\n";
            return Err(clap::Error::raw(ErrorKind::ValueValidation, what).with_cmd(command));
        }
        Ok(Resource { kind, name: name.map(str::to_owned) })
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        let kinds = Kind::value_variants().iter().filter_map(ValueEnum::to_possible_value);
        Some(Box::new(kinds))
    }
}

/// An app or a pod: `app/web`, `pod/web-1`, or a bare name, which is an app's, else a pod's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ObjectName {
    /// An app.
    App(String),
    /// A pod.
    Pod(String),
    /// Whichever exists.
    Either(String),
}

impl ObjectName {
    /// Reads one.
    ///
    /// # Errors
    ///
    /// What was expected.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let name = |name: &str| match name {
            "" => Err("a name cannot be empty".to_owned()),
            name => Ok(name.to_owned()),
        };
        match text.split_once('/') {
            None => Ok(Self::Either(name(text)?)),
            Some(("app" | "apps", app)) => Ok(Self::App(name(app)?)),
            Some(("pod" | "pods" | "po", pod)) => Ok(Self::Pod(name(pod)?)),
            Some((kind, app)) => Err(match suggestions::kind(kind) {
                Some(here) if here != "route" => {
                    format!("NAME, app/NAME or pod/NAME was expected, as `{here}/{app}`")
                }
                Some(_) | None => "NAME, app/NAME or pod/NAME was expected".to_owned(),
            }),
        }
    }

    /// `web`, `app/web`, or `app web`.
    ///
    /// # Errors
    ///
    /// What was expected.
    pub(crate) fn parse_words(words: &[String]) -> Result<Self, String> {
        match words {
            [kind, name] => Self::parse(&format!("{kind}/{name}")),
            words => Self::parse(words.first().map_or("", String::as_str)),
        }
    }

    /// The name alone.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::App(name) | Self::Pod(name) | Self::Either(name) => name,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_may_carry_their_kind() {
        assert_eq!(ObjectName::parse("web"), Ok(ObjectName::Either("web".into())));
        assert_eq!(ObjectName::parse("app/web"), Ok(ObjectName::App("web".into())));
        assert_eq!(ObjectName::parse("po/web-1"), Ok(ObjectName::Pod("web-1".into())));
        assert!(ObjectName::parse("node/web").is_err());
        assert!(ObjectName::parse("").is_err() && ObjectName::parse("app/").is_err());
    }

    #[test]
    fn kinds_have_the_short_forms_of_kubectl() {
        let parse = |text: &str| {
            ResourceParser.parse_ref(&Command::new("get"), None, OsStr::new(text)).ok()
        };
        assert_eq!(parse("po"), Some(Resource { kind: Kind::Pods, name: None }));
        assert_eq!(parse("app/web"), Some(Resource { kind: Kind::Apps, name: Some("web".into()) }));
        assert_eq!(parse("frobs"), None);
        assert_eq!(parse("app/"), None);
    }
}
