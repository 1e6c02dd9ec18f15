//! Names of objects, and which texts Kubernetes accepts as names and labels.

use std::collections::BTreeSet;

use dubernetes_core::app::{AppName, AppSpec};

use super::object::Object;

/// The label by which Services and workloads find the pods of an app.
pub(super) const NAME_LABEL: &str = "app.kubernetes.io/name";
/// The longest name of a label of DNS, which Services and Jobs must have.
const MAX_LABEL: usize = 63;

/// The names that all apps share.
pub(super) struct Names {
    apps: BTreeSet<String>,
    /// The claims of volumes of all apps that are exported already.
    claims: BTreeSet<String>,
}

impl Names {
    pub(super) fn new(specs: &[&AppSpec]) -> Self {
        let apps = specs.iter().map(|spec| spec.name.to_string()).collect();
        Self { apps, claims: BTreeSet::new() }
    }

    /// Returns the name of an object that belongs to an app, and is not that of another app.
    pub(super) fn part(&self, app: &AppName, part: &str) -> String {
        let name = fit(app.as_str(), &format!("-{part}"));
        if self.apps.contains(&name) { fit(app.as_str(), &format!("--{part}")) } else { name }
    }

    /// Returns whether a claim was not exported before.
    pub(super) fn add_claim(&mut self, claim: &str) -> bool {
        self.claims.insert(claim.to_owned())
    }
}

/// Appends to a name, which is cut where it would be too long.
pub(super) fn fit(name: &str, end: &str) -> String {
    let room = MAX_LABEL.saturating_sub(end.len());
    let start: String = name.chars().take(room).collect();
    format!("{}{end}", start.trim_end_matches('-'))
}

/// Returns the name of the Service of an app: the app's own. A Service must start with a letter.
pub(super) fn service(app: &AppName) -> String {
    match app.as_str().starts_with(|c: char| c.is_ascii_digit()) {
        true => fit("app", &format!("-{}", &app.as_str()[..app.as_str().len().min(59)])),
        false => app.to_string(),
    }
}

/// Returns a text as a label of DNS: lower case, with `-` for other characters.
pub(super) fn dns_label(text: &str) -> String {
    let legal = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let label: String = text.chars().map(legal).take(MAX_LABEL).collect();
    label.trim_matches('-').to_owned()
}

/// Returns the metadata of an object of an app.
pub(super) fn metadata(name: &str, app: &AppName) -> Object {
    Object::new().with("name", name).with("labels", selector(app))
}

/// Returns the labels by which the pods of an app are found.
pub(super) fn selector(app: &AppName) -> Object {
    Object::new().with(NAME_LABEL, app.as_str())
}

/// Returns whether Kubernetes accepts the key of a label or an annotation: a name, with the domain
/// of its owner in front.
pub(super) fn is_label_key(key: &str) -> bool {
    let (domain, name) = match key.split_once('/') {
        Some((domain, name)) => (Some(domain), name),
        None => (None, key),
    };
    domain.is_none_or(is_domain) && !name.is_empty() && is_label_value(name)
}

/// Returns whether Kubernetes accepts the value of a label.
pub(super) fn is_label_value(value: &str) -> bool {
    let is_legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let is_end = |c: Option<char>| c.is_none_or(|c| c.is_ascii_alphanumeric());
    value.len() <= MAX_LABEL
        && value.chars().all(is_legal)
        && is_end(value.chars().next())
        && is_end(value.chars().last())
}

/// Returns whether a text is the name of a host of DNS, in lower case.
pub(super) fn is_domain(text: &str) -> bool {
    let is_label = |label: &str| {
        let is_legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        !label.is_empty()
            && label.len() <= MAX_LABEL
            && label.chars().all(is_legal)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.len() <= 253 && text.split('.').all(is_label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_of_a_service_starts_with_a_letter_and_is_not_too_long() {
        let service = |name: &str| service(&AppName::parse(name).unwrap());
        assert_eq!(service("web"), "web");
        assert_eq!(service("2048"), "app-2048");
        let long = format!("1{}", "a".repeat(62));
        assert_eq!(service(&long).len(), 63);
        let name = AppName::parse(&"b".repeat(63)).unwrap();
        assert_eq!(fit(name.as_str(), "-ports"), format!("{}-ports", "b".repeat(57)));
    }

    #[test]
    fn part_has_no_name_of_another_app() {
        let specs = ["web", "web-ports"]
            .map(|name| AppSpec::new(AppName::parse(name).unwrap(), "web:1".parse().unwrap()));
        let names = Names::new(&[&specs[0], &specs[1]]);
        assert_eq!(names.part(&specs[0].name, "ports"), "web--ports");
        assert_eq!(names.part(&specs[0].name, "pods"), "web-pods");
    }

    #[test]
    fn labels_are_checked_as_kubernetes_does() {
        for (key, legal) in [
            ("team", true),
            ("example.org/tier", true),
            ("Example/x", false),
            ("a/b/c", false),
            ("-a", false),
            ("", false),
        ] {
            assert_eq!(is_label_key(key), legal, "{key}");
        }
        for (value, legal) in [("", true), ("a_B.c", true), ("a b", false), ("a-", false)] {
            assert_eq!(is_label_value(value), legal, "{value}");
        }
        assert!(!is_label_value(&"a".repeat(64)));
        assert_eq!(dns_label("My_Data.1-"), "my-data-1");
    }
}
