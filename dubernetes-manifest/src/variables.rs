//! Variables in values: `${TAG}`, `${TAG:-default}` and `${TAG:?what to do}`, as in Compose.

use std::collections::BTreeMap;

use super::node::{Node, Place, Value};
use super::raw_diagnostic::RawDiagnostic;
use dubernetes_core::app::escape::quote;

/// The variables of one call. Values of files are replaced only where a caller has variables.
pub type Variables = BTreeMap<String, String>;

/// Replaces the variables in all values below `node`, and `$$` by `$`. Keys stay as they are.
pub(super) fn substitute(node: &mut Node, variables: &Variables) -> Vec<RawDiagnostic> {
    let mut found = Vec::new();
    walk(node, variables, &mut found);
    found
}

fn walk(node: &mut Node, variables: &Variables, found: &mut Vec<RawDiagnostic>) {
    match &mut node.value {
        Value::Plain(text) | Value::Text(text) => match replace(text, variables) {
            Ok(replaced) => *text = replaced,
            Err(problem) => {
                found.push(problem.at(node.place));
                node.value = Value::Refused;
            }
        },
        Value::List(items) => items.iter_mut().for_each(|item| walk(item, variables, found)),
        Value::Map(entries) => {
            for entry in entries {
                walk(&mut entry.value, variables, found);
            }
        }
        Value::Number(_) | Value::Bool(_) | Value::Null | Value::Refused => {}
    }
}

/// A message and a hint.
struct Problem(String, String);

impl Problem {
    fn at(self, place: Place) -> RawDiagnostic {
        RawDiagnostic::new(place, "", self.0, self.1)
    }
}

fn replace(text: &str, variables: &Variables) -> Result<String, Problem> {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        if let Some(after) = after.strip_prefix('$') {
            out.push('$');
            rest = after;
        } else if let Some(inner) = after.strip_prefix('{') {
            let Some((inner, after)) = inner.split_once('}') else {
                let hint = "write `${NAME}`, or `$$` for a `$`";
                return Err(Problem("`${` is never closed".into(), hint.into()));
            };
            out.push_str(value(inner, variables)?);
            rest = after;
        } else {
            out.push('$');
            rest = after;
        }
    }
    out.push_str(rest);
    Ok(out)
}

/// Returns the value of `NAME`, or of a form such as `NAME:-default`.
fn value<'v>(inner: &'v str, variables: &'v Variables) -> Result<&'v str, Problem> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let end = inner.find(|c| !is_name(c)).unwrap_or(inner.len());
    let (name, form) = inner.split_at(end);
    let known = variables.get(name).map(String::as_str);
    // With a colon an empty value counts as none.
    let (form, known) = match form.strip_prefix(':') {
        Some(form) => (form, known.filter(|value| !value.is_empty())),
        None => (form, known),
    };
    let has_name = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let unset = |why: &str| {
        let message = format!("the variable {} is not set{why}", quote(name));
        let hint = format!("give it with `--set {name}=…`, `--env-file FILE` or `--env {name}`");
        Problem(message, hint)
    };
    match (form.chars().next(), known) {
        _ if !has_name => Err(unknown_form(inner)),
        (None, Some(value)) if end == inner.len() => Ok(value),
        (None, None) if end == inner.len() => Err(unset("")),
        (Some('-' | '?'), Some(value)) => Ok(value),
        (Some('-'), None) => Ok(&form[1..]),
        (Some('?'), None) => Err(unset(&format!(": {}", quote(&form[1..])))),
        _ => Err(unknown_form(inner)),
    }
}

fn unknown_form(inner: &str) -> Problem {
    let message = format!("{} is no variable", quote(&format!("${{{inner}}}")));
    Problem(message, "write `${NAME}`, `${NAME:-default}` or `${NAME:?text}`; `$$` is a `$`".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replaced(text: &str) -> Result<String, String> {
        let variables = [("TAG", "1.5"), ("EMPTY", ""), ("ODD", "${TAG} $$")];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        replace(text, &variables).map_err(|Problem(message, _)| message)
    }

    #[test]
    fn variables_are_replaced_as_in_compose() {
        for (text, expected) in [
            ("web:${TAG}", "web:1.5"),
            ("${TAG}${TAG}", "1.51.5"),
            ("${EMPTY}", ""),
            ("${EMPTY:-x}", "x"),
            ("${EMPTY-x}", ""),
            ("${NONE:-a:b}", "a:b"),
            ("${NONE-}", ""),
            ("${TAG:?needed}", "1.5"),
            ("$HOME $(id) $", "$HOME $(id) $"),
            ("$${TAG} $$", "${TAG} $"),
            // A value is not read again.
            ("${ODD}", "${TAG} $$"),
        ] {
            assert_eq!(replaced(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn unset_variable_and_unknown_form_are_errors() {
        for (text, expected) in [
            ("${NONE}", "the variable `NONE` is not set"),
            ("${EMPTY:?name a tag}", "the variable `EMPTY` is not set: `name a tag`"),
            ("${TAG", "`${` is never closed"),
            ("${TAG:+x}", "`${TAG:+x}` is no variable"),
            ("${TAG:}", "`${TAG:}` is no variable"),
            ("${}", "`${}` is no variable"),
            ("${1A}", "`${1A}` is no variable"),
        ] {
            assert_eq!(replaced(text), Err(expected.to_owned()), "{text}");
        }
    }
}
