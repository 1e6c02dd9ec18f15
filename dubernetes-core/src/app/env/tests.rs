use super::*;
use crate::app::{AppName, Content, ContentSource, FilePath, ImageRef};

fn known(content: &str) -> ContentRef {
    let content = Content::Known(Secret::new(content.to_owned()));
    ContentRef { source: ContentSource::File(FilePath::parse("./x").unwrap()), content }
}

#[test]
fn lines_parse_as_in_compose() {
    let cases = [
        ("A=1", "1"),
        ("export A=1", "1"),
        ("  A = 1  ", "1"),
        ("A=", ""),
        ("A= # nothing", ""),
        ("A=#nothing", ""),
        ("A=1 # one", "1"),
        ("A=a#b", "a#b"),
        ("A=b=c", "b=c"),
        ("A='a \"b\" # $X \\n'", "a \"b\" # $X \\n"),
        (r#"A="a\nb\t\"c\" \\ \$X $Y \x" # comment"#, "a\nb\t\"c\" \\ $X $Y \\x"),
        ("A=it's", "it's"),
        ("A=1\r", "1"),
        ("\u{feff}A=1", "1"),
        ("# comment\n\n   \nA=1\nA=2\n", "2"),
        ("A='one\n two\n' # end\n", "one\n two\n"),
        ("A=\"one\r\n# two=\\n\"\r\n", "one\n# two=\n"),
    ];
    for (file, value) in cases {
        let parsed = parse_env_file(file.as_bytes());
        let parsed = parsed.unwrap_or_else(|error| panic!("{file:?}: {error:?}"));
        assert_eq!(parsed.into_values().collect::<Vec<_>>(), [value], "{file:?}");
    }
}

#[test]
fn lines_after_a_value_over_several_lines_count_from_the_start() {
    let parsed = parse_env_file(b"A='1\n2'\nexport B=3\n").unwrap();
    assert_eq!(parsed.into_values().collect::<Vec<_>>(), ["1\n2", "3"]);
    let error = EnvFileError { line: 3, reason: "has no `=`" };
    assert_eq!(parse_env_file(b"A='1\n2'\nnonsense\n"), Err(error));
}

#[test]
fn invalid_line_is_reported_by_number_without_its_text() {
    let cases: [(&[u8], usize, &str); 9] = [
        (b"A=1\n\nnonsense\n", 3, "has no `=`"),
        (b"1A=1", 1, NO_NAME),
        (b"A B=1", 1, NO_NAME),
        (b"=1", 1, NO_NAME),
        (b"A='1", 1, UNCLOSED),
        (b"A=\"1\\", 1, UNCLOSED),
        (b"A='1' 2", 1, AFTER_QUOTE),
        (b"A=1\nB='1\nC='2\n", 2, AFTER_QUOTE),
        (b"#\nA=\xff", 2, "is not UTF-8"),
    ];
    for (file, line, reason) in cases {
        assert_eq!(parse_env_file(file), Err(EnvFileError { line, reason }), "{file:?}");
    }
}

#[test]
fn later_files_override_earlier_ones_and_env_overrides_all() {
    let name = |text| EnvName::parse(text).unwrap();
    let mut spec = AppSpec::new(AppName::parse("web").unwrap(), ImageRef::parse("web:1").unwrap());
    spec.env_file = vec![known("A=first\nB=first\nC=first\nD=first"), known("B=second\n")];
    spec.env.insert(name("C"), "written".into());
    spec.env.insert(name("D"), EnvValue::From(known("one\ntwo\n\r\n")));
    let merged = spec.environment();
    assert_eq!(merged.plain, BTreeMap::from([("C".to_owned(), "written".to_owned())]));
    let secret: Vec<_> = merged
        .secret
        .iter()
        .map(|(name, value)| (name.as_str(), std::str::from_utf8(value.reveal()).unwrap()))
        .collect();
    assert_eq!(secret, [("A", "first"), ("B", "second"), ("D", "one\ntwo\n")]);
}
