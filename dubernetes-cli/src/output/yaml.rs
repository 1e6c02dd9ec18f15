//! Results as YAML, in the shape of the API.

use serde::Serialize;

use crate::report::{CliError, Result};

/// Returns a YAML document.
pub(super) fn to_text<T: Serialize>(value: &T) -> Result<String> {
    dubernetes_manifest::to_yaml_value(value)
        .map_err(|error| CliError::new(format!("cannot write the result as YAML: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize)]
    struct Sample {
        name: &'static str,
        generation: u64,
        spec: Vec<(&'static str, Option<bool>)>,
        items: Vec<Inner>,
        empty: Vec<u8>,
    }

    #[derive(Serialize)]
    struct Inner {
        zebra: &'static str,
        ant: &'static str,
    }

    #[test]
    fn keys_keep_their_order_and_ambiguous_text_is_quoted() {
        let sample = Sample {
            name: "web:1",
            generation: 3,
            spec: vec![("no", None), ("a: b", Some(true))],
            items: vec![
                Inner { zebra: "10", ant: "x\ny" },
                Inner { zebra: "a\u{1b}[31m", ant: "" },
                Inner { zebra: "2026-11-26T13:00:00Z", ant: "a #b: c" },
            ],
            empty: Vec::new(),
        };
        let expected = r#"name: web:1
generation: 3
spec:
- - "no"
  - null
- - "a: b"
  - true
items:
- zebra: "10"
  ant: |-
    x
    y
- zebra: "a\e[31m"
  ant: ""
- zebra: "2026-11-26T13:00:00Z"
  ant: "a #b: c"
empty: []
"#;
        assert_eq!(to_text(&sample).ok().as_deref(), Some(expected));
    }
}
