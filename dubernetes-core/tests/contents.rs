//! Contents of referenced files: shown as a hash, written out only by `to_json_with_contents`.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use dubernetes_core::app::{
    AppName, AppSpec, ConfigFile, Content, ContentHash, ContentRef, ContentSource, EnvName,
    EnvValue, FileMode, FilePath, FileTarget, ImageRef, Secret, to_json_with_contents,
};

const CANARY: &str = "canary-4711";

fn known(content: &str) -> ContentRef {
    let content = Content::Known(Secret::new(content.to_owned()));
    ContentRef { source: ContentSource::File(FilePath::parse("./x").unwrap()), content }
}

fn spec() -> AppSpec {
    let mut spec = AppSpec::new(AppName::parse("web").unwrap(), ImageRef::parse("web:1").unwrap());
    let name = EnvName::parse("PASSWORD").unwrap();
    spec.env.insert(name, EnvValue::From(known(CANARY)));
    spec.env_file = vec![known("A=1"), known(&format!("KEY={CANARY}"))];
    let file =
        ConfigFile { source: known(CANARY), mode: FileMode::parse("0400").unwrap(), owner: None };
    spec.files.insert(FileTarget::parse("/etc/app.conf").unwrap(), file);
    spec
}

#[test]
fn content_hash_is_the_start_of_the_sha256() {
    let hash = Secret::new("").hash();
    assert_eq!(hash.to_string(), "e3b0c44298fc1c14");
    assert_eq!(ContentHash::parse("e3b0c44298fc1c14"), Ok(hash));
    for text in ["", "e3b0c44298fc1c1", "e3b0c44298fc1c149", "E3B0C44298FC1C14", "+3b0c44298fc1c14"]
    {
        assert!(ContentHash::parse(text).is_err(), "{text}");
    }
}

#[test]
fn content_is_shown_only_by_to_json_with_contents() {
    let spec = spec();
    let hidden =
        [CANARY.to_owned(), STANDARD.encode(CANARY), STANDARD.encode(format!("KEY={CANARY}"))];
    let environment = format!("{:?}", spec.environment());
    let shown = [
        format!("{spec:?}"),
        serde_json::to_string(&spec).unwrap(),
        dubernetes_manifest::to_yaml(&spec),
        spec.env_file[1].to_string(),
        environment,
    ];
    for shown in shown {
        assert!(hidden.iter().all(|secret| !shown.contains(secret)), "{shown}");
        assert!(!shown.contains("99, 97, 110"), "not as numbers either: {shown}");
    }
    let with = to_json_with_contents(&spec).unwrap().to_string();
    assert!(hidden[1..].iter().all(|secret| with.contains(secret)), "{with}");
}

#[test]
fn json_with_contents_round_trips() {
    let spec = spec();
    let with = to_json_with_contents(&spec).unwrap();
    assert_eq!(serde_json::from_value::<AppSpec>(with.clone()).unwrap(), spec);
    assert_eq!(dubernetes_manifest::from_json(with.to_string().as_bytes()), Ok(spec.clone()));
    let shown: AppSpec = serde_json::from_str(&serde_json::to_string(&spec).unwrap()).unwrap();
    assert_eq!(shown.env_file[1].content, Content::Hash(spec.env_file[1].hash().unwrap()));
    assert_ne!(shown, spec, "a hash is not the content");
}

#[test]
fn content_is_filled_in_by_its_hash() {
    let spec = spec();
    let mut shown: AppSpec = serde_json::from_str(&serde_json::to_string(&spec).unwrap()).unwrap();
    shown.fill_contents_from(&spec);
    assert_eq!(shown, spec);
    let mut other = serde_json::to_value(&spec).unwrap();
    other["env"]["PASSWORD"]["sha256"] = "0123456789abcdef".into();
    let mut other: AppSpec = serde_json::from_value(other).unwrap();
    other.fill_contents_from(&spec);
    assert_eq!(other.missing_contents(), ["env.PASSWORD"]);
}

#[test]
fn content_with_another_hash_is_refused() {
    let read = |json: &str| serde_json::from_str::<ContentRef>(json);
    assert!(read(r#"{"file": "x", "sha256": "e3b0c44298fc1c14", "content": ""}"#).is_ok());
    let other = read(r#"{"file": "x", "sha256": "0123456789abcdef", "content": ""}"#).unwrap_err();
    assert!(other.to_string().contains("`e3b0c44298fc1c14`, not `0123456789abcdef`"), "{other}");
    let bad = read(r#"{"file": "x", "content": "canary!"}"#).unwrap_err();
    assert!(!bad.to_string().contains("canary"), "{bad}");
}

#[test]
fn secret_is_referred_to_by_name() {
    let json = r#"{"secret":"db","sha256":"e3b0c44298fc1c14"}"#;
    let read: ContentRef = serde_json::from_str(json).unwrap();
    assert_eq!(read.source, ContentSource::Secret("db".parse().unwrap()));
    assert_eq!(serde_json::to_string(&read).unwrap(), json);
    assert_eq!(read.to_string(), "secret db (sha256:e3b0c44298fc1c14)");
    for bad in [r#"{"secret":"db","file":"x"}"#, "{}", r#"{"secret":"A"}"#] {
        assert!(serde_json::from_str::<ContentRef>(bad).is_err(), "{bad}");
    }
}

#[test]
fn contents_are_taken_out_and_restored() {
    let spec = spec();
    let mut bare = spec.clone();
    let contents = bare.take_contents();
    let paths: Vec<_> = contents.keys().map(String::as_str).collect();
    assert_eq!(paths, ["env.PASSWORD", "env_file.0", "env_file.1", "files./etc/app.conf"]);
    let json = serde_json::to_string(&bare).unwrap();
    assert!(!json.contains("sha256"), "{json}");
    let mut read: AppSpec = serde_json::from_str(&json).unwrap();
    read.restore_contents(&contents);
    assert_eq!(read, spec);
}
