//! How objects are named on the command line: `pods`, `app/web`, `web-1`.

use std::ffi::OsStr;

use clap::builder::{EnumValueParser, PossibleValue, TypedValueParser};
use clap::error::ErrorKind;
use clap::{Arg, Command, ValueEnum};

/// Kind of object that `get` lists.
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
    /// Certificates of hosts that are served over HTTPS.
    #[value(aliases = ["certificate", "cert", "certs"])]
    Certificates,
    /// Hosts of a runtime that has several.
    #[value(aliases = ["node", "no"])]
    Nodes,
}

/// A kind, or one object of it: `pods`, `pod/web-1`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Resource {
    /// Kind.
    pub(crate) kind: Kind,
    /// Name, if one was given.
    pub(crate) name: Option<String>,
}

/// Parses a [`Resource`], with clap's suggestions for the kind.
#[derive(Debug, Clone, Copy)]
pub(super) struct ResourceParser;

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
        if let Some(ours) = equivalent_kind(kind) {
            let what = format!("`{kind}` are called `{ours}s` here: use `get {ours}s`\n");
            return Err(clap::Error::raw(ErrorKind::ValueValidation, what).with_cmd(command));
        }
        let kind = EnumValueParser::<Kind>::new().parse_ref(command, arg, OsStr::new(kind))?;
        if name == Some("") {
            let what = "expected a name after `/`\n";
            return Err(clap::Error::raw(ErrorKind::ValueValidation, what).with_cmd(command));
        }
        Ok(Resource { kind, name: name.map(str::to_owned) })
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        let kinds = Kind::value_variants().iter().filter_map(ValueEnum::to_possible_value);
        Some(Box::new(kinds))
    }
}

/// Name of an app or a pod: `app/web`, `pod/web-1`, or a bare name (an app, else a pod).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ObjectName {
    /// An app.
    App(String),
    /// A pod.
    Pod(String),
    /// The app of that name, else the pod.
    Either(String),
}

impl ObjectName {
    /// Parses `web`, `app/web` or `pod/web-1`.
    ///
    /// # Errors
    ///
    /// Says what was expected.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let non_empty = |name: &str| match name {
            "" => Err("a name must not be empty".to_owned()),
            name => Ok(name.to_owned()),
        };
        match text.split_once('/') {
            None => Ok(Self::Either(non_empty(text)?)),
            Some(("app" | "apps", app)) => Ok(Self::App(non_empty(app)?)),
            Some(("pod" | "pods" | "po", pod)) => Ok(Self::Pod(non_empty(pod)?)),
            Some((kind, name)) => Err(match equivalent_kind(kind) {
                Some(ours) if ours != "route" => {
                    format!("expected NAME, app/NAME or pod/NAME, here `{ours}/{name}`")
                }
                Some(_) | None => "expected NAME, app/NAME or pod/NAME".to_owned(),
            }),
        }
    }

    /// Parses `web`, `app/web`, or the two words `app web`.
    ///
    /// # Errors
    ///
    /// Says what was expected.
    pub(crate) fn parse_words(words: &[String]) -> Result<Self, String> {
        match words {
            [kind, name] => Self::parse(&format!("{kind}/{name}")),
            words => Self::parse(words.first().map_or("", String::as_str)),
        }
    }

    /// Returns the name without its kind.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::App(name) | Self::Pod(name) | Self::Either(name) => name,
        }
    }
}

/// Kinds of kubectl whose counterpart is an app.
const APP_KINDS: &[&str] = &[
    "deployment",
    "deployments",
    "deploy",
    "service",
    "services",
    "svc",
    "replicaset",
    "replicasets",
    "rs",
    "statefulset",
    "statefulsets",
    "sts",
];

/// Returns our counterpart of a kind that other tools have.
fn equivalent_kind(word: &str) -> Option<&'static str> {
    match word {
        word if APP_KINDS.contains(&word) => Some("app"),
        "container" | "containers" => Some("pod"),
        "ingress" | "ingresses" | "ing" => Some("route"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn object_name_accepts_optional_kind() {
        assert_eq!(ObjectName::parse("web"), Ok(ObjectName::Either("web".into())));
        assert_eq!(ObjectName::parse("app/web"), Ok(ObjectName::App("web".into())));
        assert_eq!(ObjectName::parse("po/web-1"), Ok(ObjectName::Pod("web-1".into())));
        assert!(ObjectName::parse("node/web").is_err());
        assert!(ObjectName::parse("").is_err() && ObjectName::parse("app/").is_err());
    }

    #[test]
    fn kind_accepts_short_forms_of_kubectl() {
        let parse = |text: &str| {
            ResourceParser.parse_ref(&Command::new("get"), None, OsStr::new(text)).ok()
        };
        assert_eq!(parse("po"), Some(Resource { kind: Kind::Pods, name: None }));
        let app = Resource { kind: Kind::Apps, name: Some("web".into()) };
        assert_eq!(parse("app/web"), Some(app));
        assert_eq!(parse("frobs"), None);
        assert_eq!(parse("app/"), None);
    }
}
