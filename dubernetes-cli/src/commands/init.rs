//! `init`: creates a manifest to start from, from the table of keys that the parser uses.

use std::path::Path;

use dubernetes_core::app::{AppName, ImageRef};
use dubernetes_manifest::reference::{APP, DefaultValue, Key, Kind};
use dubernetes_manifest::suggest_name;

use crate::args::InitArgs;
use crate::new_file;
use crate::output::{self, wrap};
use crate::report::{self, CliError, Result};

/// Width of comments.
const WIDTH: usize = 88;

pub(super) fn run(args: &InitArgs) -> Result {
    let name = match &args.name {
        Some(name) => name.clone(),
        None => name_from_folder()?,
    };
    let image = match &args.image {
        Some(image) => image.clone(),
        None => ImageRef::parse(&format!("{name}:latest")).map_err(CliError::new)?,
    };
    let path = &args.output;
    let text = manifest(&name, &image);
    if path == Path::new("-") {
        return output::print(&text);
    }
    new_file::write(path, &text, args.force)?;
    let shown = path.display();
    report::note(&format!("created {shown} with app `{name}`, image `{image}`"));
    report::help(&format!(
        "edit it, check it with `dubernetes validate {shown}`, run it with \
         `dubernetes apply {shown}`"
    ));
    Ok(())
}

/// Returns the valid app name nearest to the name of the current folder.
fn name_from_folder() -> Result<AppName> {
    let folder = std::env::current_dir()
        .map_err(|error| CliError::with_io_source("cannot find the current folder", &error))?;
    let folder = folder.file_name().unwrap_or_default().to_string_lossy();
    suggest_name(&folder).ok_or_else(|| {
        CliError::new("cannot derive the name of an app from the name of this folder")
            .help("name the app: `dubernetes init myapp`")
    })
}

/// Returns the manifest: `name` and `image` as they are, all others as comments that begin with
/// `#key`.
fn manifest(name: &AppName, image: &ImageRef) -> String {
    let mut text = String::from(
        "# An app for `dubernetes apply`.\n\
         # Optional keys are commented out: remove the `#` to use one.\n\
         # `dubernetes explain KEY` explains each key.\n",
    );
    for key in APP {
        text.push('\n');
        let about = match key.default {
            DefaultValue::Required => key.description.to_owned(),
            DefaultValue::Value(words) | DefaultValue::Described(words) => {
                format!("{} Default: {words}.", key.description)
            }
        };
        for line in wrap(&about, WIDTH).into_iter().chain(nested_keys(key)) {
            text += &format!("# {line}\n");
        }
        text += &match key.name {
            "name" => format!("name: {name}\n"),
            "image" => format!("image: {image}\n"),
            _ => format!("#{}\n", key.example),
        };
    }
    text
}

/// Returns lines with the names of the keys below `key`.
fn nested_keys(key: &Key) -> Vec<String> {
    let Kind::Object(level) = key.kind else { return Vec::new() };
    let names: Vec<&str> = level.keys.iter().map(|key| key.name).collect();
    wrap(&format!("Keys: {}.", names.join(", ")), WIDTH)
}

#[cfg(test)]
mod tests {
    use dubernetes_manifest::{Parsed, Source};

    use super::*;

    fn example() -> String {
        manifest(&AppName::parse("web").unwrap(), &ImageRef::parse("web:1").unwrap())
    }

    fn parse(text: &str) -> Parsed {
        let source = Source { name: "app.yaml".into(), text: text.as_bytes().to_vec() };
        dubernetes_manifest::parse(&[source])
            .unwrap_or_else(|problems| panic!("{problems}\n{text}"))
    }

    fn is_key(line: &str) -> bool {
        line.strip_prefix('#').is_some_and(|rest| rest.starts_with(|c: char| c.is_alphabetic()))
    }

    #[test]
    fn manifest_is_valid_and_sets_required_keys_only() {
        let parsed = parse(&example());
        let minimal = parse("name: web\nimage: web:1\n");
        assert_eq!(parsed.apps[0].spec, minimal.apps[0].spec);
        assert!(example().lines().all(|line| line.len() <= 100), "{}", example());
    }

    #[test]
    fn comments_are_valid_alone_and_together() {
        let text = example();
        let optional: Vec<&str> = text.lines().filter(|line| is_key(line)).collect();
        assert_eq!(optional.len() + ["name", "image"].len(), APP.len());
        let plain = parse(&text);
        for line in &optional {
            let text = text.replace(line, &line[1..]);
            let with = parse(&match line.starts_with("#program:") {
                true => text.replace("\nimage:", "\n#image:"),
                false => text,
            });
            assert_ne!(with.apps[0].spec, plain.apps[0].spec, "{line} changes nothing");
        }
        // `read_only` and `files` cannot be combined, nor `image` and `program`.
        let text = text.replace("#read_only: true\n", "").replace("#program: ./server\n", "");
        let all = text.lines().map(|line| if is_key(line) { &line[1..] } else { line });
        parse(&all.collect::<Vec<_>>().join("\n"));
    }
}
