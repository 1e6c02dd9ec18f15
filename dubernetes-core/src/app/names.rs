//! Names that reach the engine, labels and routes, each checked against its grammar.

use smol_str::format_smolstr;

use super::escape::{quote, quote_char};
use super::text::{ParseError, checked_text};

checked_text!(
    /// The name of an app: 1 to 63 of `a-z`, `0-9` and `-`, with a letter or digit at both ends.
    /// `ingress` is reserved.
    ///
    /// # Examples
    ///
    /// ```
    /// use dubernetes_core::app::AppName;
    ///
    /// let name = AppName::parse("shop")?;
    /// assert_eq!(name, "shop");
    ///
    /// let error = "My Shop".parse::<AppName>().unwrap_err();
    /// assert_eq!(error.to_string(), "a name may only contain `a-z`, `0-9` and `-`, not `M`");
    /// # Ok::<(), dubernetes_core::app::ParseError>(())
    /// ```
    AppName,
    check_app_name
);
checked_text!(
    /// The name of an instance, with the grammar of [`AppName`].
    InstanceName,
    check_label
);
checked_text!(
    /// The name of a secret, unique in its instance, with the grammar of [`InstanceName`].
    SecretName,
    check_label
);
checked_text!(
    /// The name of an environment variable: `[A-Za-z_][A-Za-z0-9_.-]*`, at most 256 characters.
    EnvName,
    check_env_name
);
checked_text!(
    /// The id of a one-off container: five of `a-z`.
    OneOffId,
    check_one_off_id
);
checked_text!(
    /// The name of a pod: `APP-ORDINAL`, `APP-pre-deploy` for the pre-deploy hook of an app, or
    /// `APP-run-ID` for a one-off container.
    ///
    /// # Examples
    ///
    /// ```
    /// use dubernetes_core::app::{AppName, PodName};
    ///
    /// let web = AppName::parse("web")?;
    /// assert_eq!(PodName::replica(&web, 2), "web-2");
    /// assert_eq!(PodName::pre_deploy(&web), "web-pre-deploy");
    /// assert_eq!(PodName::parse("web-2")?.app(), web);
    /// assert_eq!(PodName::parse("web-run-qhzkt")?.app(), web);
    /// assert!(PodName::parse("web").is_err());
    /// # Ok::<(), dubernetes_core::app::ParseError>(())
    /// ```
    PodName,
    check_pod_name
);

impl PodName {
    /// Returns the name of a replica.
    pub fn replica(app: &AppName, ordinal: u32) -> Self {
        Self(format_smolstr!("{app}-{ordinal}"))
    }

    /// Returns the name under which the pre-deploy hook of an app is shown.
    pub fn pre_deploy(app: &AppName) -> Self {
        Self(format_smolstr!("{app}{PRE_DEPLOY}"))
    }

    /// Returns the name of a one-off container.
    pub fn one_off(app: &AppName, id: &OneOffId) -> Self {
        Self(format_smolstr!("{app}{RUN}{id}"))
    }

    /// Returns whether it names a one-off container.
    pub fn is_one_off(&self) -> bool {
        app_of_one_off(&self.0).is_some()
    }

    /// Returns the app of the pod.
    pub fn app(&self) -> AppName {
        AppName(app_of_pod(&self.0).unwrap_or(&self.0).into())
    }
}

/// Ends the name of a pre-deploy hook. No ordinal equals it.
const PRE_DEPLOY: &str = "-pre-deploy";

/// Separates the app from the id in the name of a one-off container.
const RUN: &str = "-run-";

/// Returns the app of a one-off container. No ordinal equals an id.
fn app_of_one_off(text: &str) -> Option<&str> {
    let (app, id) = text.rsplit_once(RUN)?;
    check_one_off_id(id).is_ok().then_some(app)
}

/// Returns the part of the name of a pod that names its app.
fn app_of_pod(text: &str) -> Option<&str> {
    let is_ordinal =
        |text: &str| text.parse::<u32>().is_ok_and(|ordinal| ordinal.to_string() == text);
    let replica = text.rsplit_once('-').filter(|(_, ordinal)| is_ordinal(ordinal));
    let replica = replica.map(|(app, _)| app);
    text.strip_suffix(PRE_DEPLOY).or(replica).or_else(|| app_of_one_off(text))
}

fn check_one_off_id(text: &str) -> Result<String, ParseError> {
    if text.len() == 5 && text.chars().all(|c| c.is_ascii_lowercase()) {
        return Ok(text.to_owned());
    }
    Err(format!("expected five of `a-z`, not {}", quote(text)).into())
}

fn check_pod_name(text: &str) -> Result<String, ParseError> {
    if app_of_pod(text).is_some_and(|app| check_app_name(app).is_ok()) {
        return Ok(text.to_owned());
    }
    Err(format!("expected a pod such as `web-2`, not {}", quote(text)).into())
}

impl Default for InstanceName {
    fn default() -> Self {
        Self("default".into())
    }
}

fn check_app_name(text: &str) -> Result<String, ParseError> {
    if text == "ingress" {
        return Err("`ingress` is reserved for the ingress container".into());
    }
    check_label(text)
}

fn check_label(text: &str) -> Result<String, ParseError> {
    if text.is_empty() {
        return Err("a name cannot be empty".into());
    }
    if text.len() > 63 {
        let found = text.chars().count();
        return Err(format!("a name may have at most 63 characters, not {found}").into());
    }
    let is_legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if let Some(bad) = text.chars().find(|c| !is_legal(*c)) {
        let bad = quote_char(bad);
        return Err(format!("a name may only contain `a-z`, `0-9` and `-`, not {bad}").into());
    }
    if text.starts_with('-') || text.ends_with('-') {
        return Err("a name must start and end with a letter or digit".into());
    }
    Ok(text.to_owned())
}

fn check_env_name(text: &str) -> Result<String, ParseError> {
    let Some(first) = text.chars().next() else {
        return Err("a variable name cannot be empty".into());
    };
    if text.len() > 256 {
        return Err("a variable name may have at most 256 characters".into());
    }
    if !(first.is_ascii_alphabetic() || first == '_') {
        let first = quote_char(first);
        return Err(format!("a variable name must start with a letter or `_`, not {first}").into());
    }
    let is_legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    match text.chars().find(|c| !is_legal(*c)) {
        Some(bad) => Err(format!(
            "a variable name may only contain letters, digits, `_`, `.` and `-`, not {}",
            quote_char(bad)
        )
        .into()),
        None => Ok(text.to_owned()),
    }
}
