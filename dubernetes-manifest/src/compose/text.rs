//! Texts of Compose: variables, command lines, lists and sizes.

use crate::node::Node;

/// A value with variables, in the forms of a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Converted {
    pub(super) text: String,
    /// Forms that a manifest does not have, and what they became.
    pub(super) changed: Vec<String>,
}

/// Turns `$NAME` into `${NAME}`, and forms that a manifest does not have into others.
pub(super) fn convert(text: &str) -> Converted {
    let mut out = Converted { text: String::new(), changed: Vec::new() };
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        out.text.push_str(before);
        if let Some(after) = after.strip_prefix('$') {
            out.text.push_str("$$");
            rest = after;
        } else if let Some((inner, after)) = braced(after) {
            out.add_braced(inner);
            rest = after;
        } else {
            let end = name_length(after);
            if end == 0 {
                out.text.push('$');
            } else {
                out.text.push_str(&format!("${{{}}}", &after[..end]));
            }
            rest = &after[end..];
        }
    }
    out.text.push_str(rest);
    out
}

impl Converted {
    /// Adds the variable `${inner}`.
    fn add_braced(&mut self, inner: &str) {
        let form = &inner[name_length(inner)..];
        let operator = form.strip_prefix(':').unwrap_or(form).chars().next();
        let written = match operator {
            _ if name_length(inner) == 0 => format!("$${{{inner}}}"),
            Some('-' | '?') if !form.contains("${") => format!("${{{inner}}}"),
            Some('-') => nested(inner),
            None if form.is_empty() => format!("${{{inner}}}"),
            // The text itself, so that nothing is taken for a value that it does not have.
            _ => format!("$${{{inner}}}"),
        };
        let original = format!("${{{inner}}}");
        if written != original {
            self.changed.push(format!("`{original}` became `{written}`"));
        }
        self.text.push_str(&written);
    }
}

/// Returns a variable whose default is another variable: the default of that one is taken.
fn nested(inner: &str) -> String {
    let name = &inner[..name_length(inner)];
    let default = inner.rsplit_once("${").and_then(|(_, last)| {
        let last = last.trim_end_matches('}');
        let form = &last[name_length(last)..];
        form.trim_start_matches(':').strip_prefix('-')
    });
    match default {
        Some(default) => format!("${{{name}:-{default}}}"),
        None => format!("${{{name}}}"),
    }
}

/// Splits `{inner}rest`, with braces inside.
fn braced(text: &str) -> Option<(&str, &str)> {
    let text = text.strip_prefix('{')?;
    let mut depth = 1;
    for (index, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some((&text[..index], &text[index + 1..]));
        }
    }
    None
}

fn name_length(text: &str) -> usize {
    if text.starts_with(|c: char| c.is_ascii_digit()) {
        return 0;
    }
    text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(text.len())
}

/// A variable of a manifest.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Variable {
    pub(super) name: String,
    pub(super) has_default: bool,
}

/// Returns the variables of a manifest.
pub(super) fn variables(text: &str) -> Vec<Variable> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some((_, after)) = rest.split_once('$') {
        if let Some(after) = after.strip_prefix('$') {
            rest = after;
            continue;
        }
        if let Some((inner, _)) = braced(after) {
            let (name, form) = inner.split_at(name_length(inner));
            let has_default = form.trim_start_matches(':').starts_with('-');
            found.push(Variable { name: name.to_owned(), has_default });
        }
        rest = after;
    }
    found
}

/// Replaces `$$` by `$`, as reading a manifest with variables does.
pub(super) fn unescape(text: &str) -> String {
    text.replace("$$", "$")
}

/// Returns the default of the only variable that a text consists of, or a text without variables.
pub(super) fn with_default(text: &str) -> Option<String> {
    let Some(inner) = text.strip_prefix("${").and_then(|text| text.strip_suffix('}')) else {
        return (!text.contains("${")).then(|| text.to_owned());
    };
    let form = inner[name_length(inner)..].trim_start_matches(':').strip_prefix('-')?;
    (!form.contains(['$', '{', '}'])).then(|| form.to_owned())
}

/// Splits a command line into words as Compose does: by spaces, with quotes and backslashes, and
/// without a shell. `None` if a quote is open.
pub(super) fn split_words(line: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match (c, quote) {
            (c, Some(open)) if c == open => quote = None,
            ('\\', None) => word.get_or_insert_default().extend(chars.next()),
            ('\\', Some('"')) => match chars.next()? {
                escaped @ ('"' | '\\' | '$' | '`') => word.get_or_insert_default().push(escaped),
                other => word.get_or_insert_default().extend(['\\', other]),
            },
            ('\'' | '"', None) => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (c, None) if c.is_whitespace() => words.extend(word.take()),
            (c, _) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    quote.is_none().then_some(words)
}

/// Splits at the colons outside of variables.
pub(super) fn split_parts(short: &str) -> Vec<&str> {
    let (mut parts, mut start, mut depth) = (Vec::new(), 0, 0_u32);
    for (index, c) in short.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            ':' if depth == 0 => {
                parts.push(&short[start..index]);
                start = index + 1;
            }
            _ => {}
        }
    }
    parts.push(&short[start..]);
    parts
}

/// Returns the items of a list of texts, or the one text.
pub(super) fn texts(node: &Node) -> Vec<(&str, usize)> {
    let items = node.list().unwrap_or(std::slice::from_ref(node));
    items.iter().filter_map(|item| Some((item.text()?, item.place.line))).collect()
}

/// Returns a size of Compose, such as `512m`, `1.5gb` or a number of bytes, in the form of a
/// manifest. Anything else stays as it is.
pub(super) fn size(text: &str) -> String {
    let lower = text.trim().to_ascii_lowercase();
    let end = lower.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(lower.len());
    let (number, unit) = lower.split_at(end);
    let Some(shift) = (match unit.trim() {
        "" | "b" => Some(0),
        "k" | "kb" | "kib" => Some(10),
        "m" | "mb" | "mib" => Some(20),
        "g" | "gb" | "gib" => Some(30),
        "t" | "tb" | "tib" => Some(40),
        _ => None,
    }) else {
        return text.to_owned();
    };
    let Some(bytes) = bytes(number, shift) else { return text.to_owned() };
    for (shift, unit) in [(40, "Ti"), (30, "Gi"), (20, "Mi")] {
        if bytes >= 1 << shift && bytes.trailing_zeros() >= shift {
            return format!("{}{unit}", bytes >> shift);
        }
    }
    format!("{}Ki", bytes.div_ceil(1 << 10))
}

/// Returns `number << shift`; a fraction is rounded down.
fn bytes(number: &str, shift: u32) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let whole: u64 = whole.parse().ok()?;
    let mut bytes = whole.checked_mul(1 << shift)?;
    if !fraction.is_empty() {
        let digits: u64 = fraction.get(..fraction.len().min(6))?.parse().ok()?;
        let scale = 10_u64.pow(u32::try_from(fraction.len().min(6)).ok()?);
        bytes = bytes.checked_add(digits.checked_mul(1 << shift)? / scale)?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_take_the_forms_of_a_manifest() {
        for (text, expected, changes) in [
            ("web:${TAG}", "web:${TAG}", 0),
            ("$TAG-$$x", "${TAG}-$$x", 0),
            ("${A:-b}${C:?d}${E-f}", "${A:-b}${C:?d}${E-f}", 0),
            ("${A:-${B:-c}}", "${A:-c}", 1),
            ("${A:-${B}}", "${A}", 1),
            ("${A:+b}", "$${A:+b}", 1),
            ("cost: 5$", "cost: 5$", 0),
        ] {
            let converted = convert(text);
            assert_eq!(converted.text, expected, "{text}");
            assert_eq!(converted.changed.len(), changes, "{text}");
        }
        let found = variables("${A} ${B:-c} $${D} ${E:?f}").into_iter();
        let found: Vec<_> = found.map(|found| (found.name, found.has_default)).collect();
        let expected = [("A", false), ("B", true), ("E", false)];
        assert_eq!(found, expected.map(|(name, has)| (name.to_owned(), has)));
    }

    #[test]
    fn command_line_is_split_as_in_compose() {
        let words = |line| split_words(line).unwrap().join("|");
        assert_eq!(words("bundle exec puma -C 'a b'"), "bundle|exec|puma|-C|a b");
        assert_eq!(words(r#"sh -c "echo \"x\" \n" '' a\ b"#), r#"sh|-c|echo "x" \n||a b"#);
        assert_eq!(split_words("sh -c 'open"), None);
    }

    #[test]
    fn sizes_are_those_of_a_manifest() {
        for (text, expected) in [
            ("512m", "512Mi"),
            ("1.5G", "1536Mi"),
            ("2gb", "2Gi"),
            ("134217728", "128Mi"),
            ("100kb", "100Ki"),
            ("${MEMORY}", "${MEMORY}"),
        ] {
            assert_eq!(size(text), expected, "{text}");
        }
    }
}
