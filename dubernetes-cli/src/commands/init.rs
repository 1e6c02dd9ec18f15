//! `init`: writes a file to begin with, out of the table that reads it.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::path::Path;

use dubernetes_core::app::{AppName, ImageRef};
use dubernetes_manifest::reference::{APP, DefaultValue, Key, Kind};
use dubernetes_manifest::suggest_name;

use crate::args::InitArgs;
use crate::output::{self, wrap};
use crate::report::{self, Failure, Outcome};

/// How wide a comment is.
const WIDTH: usize = 88;

pub(super) fn run(args: &InitArgs) -> Outcome {
    let name = match &args.name {
        Some(name) => name.clone(),
        None => name_of_folder()?,
    };
    let image = match &args.image {
        Some(image) => image.clone(),
        None => ImageRef::parse(&format!("{name}:latest")).map_err(Failure::new)?,
    };
    let path = &args.output;
    let text = file(&name, &image);
    if path == Path::new("-") {
        return output::print(&text);
    }
    write(path, &text, args.force)?;
    let shown = path.display();
    report::note(&format!("{shown} is written, with the app `{name}` of the image `{image}`"));
    report::help(&format!(
        "edit it, then `dubernetes validate {shown}` checks it and `dubernetes apply {shown}` runs it"
    ));
    Ok(())
}

/// The nearest legal name to that of the present folder.
fn name_of_folder() -> Outcome<AppName> {
    let folder = std::env::current_dir()
        .map_err(|error| Failure::because_io("the present folder cannot be found", &error))?;
    let folder = folder.file_name().unwrap_or_default().to_string_lossy();
    suggest_name(&folder).ok_or_else(|| {
        Failure::new("the name of this folder makes no name of an app")
            .help("name the app: `dubernetes init myapp`")
    })
}

fn write(path: &Path, text: &str, force: bool) -> Outcome {
    let mut options = OpenOptions::new();
    if force {
        options.create(true).truncate(true);
    } else {
        options.create_new(true);
    }
    let shown = path.display();
    let written = options.write(true).open(path).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.flush()
    });
    written.map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => Failure::new(format!("`{shown}` exists already"))
            .help("`--force` writes it anew, `-o FILE` writes another one"),
        _ => Failure::because_io(&format!("`{shown}` cannot be written"), &error),
    })
}

/// The file: what must be there as it is, and everything else as comments that begin with `#key`.
fn file(name: &AppName, image: &ImageRef) -> String {
    let mut text = String::from(
        "# What `dubernetes apply` makes run, and keeps running.\n\
         # A key behind `#` is left out: delete the `#` to use it.\n\
         # `dubernetes explain KEY` says more of each.\n",
    );
    for key in APP {
        text.push('\n');
        let about = match key.default {
            DefaultValue::Required => key.description.to_owned(),
            DefaultValue::Value(words) | DefaultValue::Described(words) => {
                format!("{} Unless given: {words}.", key.description)
            }
        };
        for line in wrap(&about, WIDTH).into_iter().chain(below(key)) {
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

/// The names of the keys below `key`.
fn below(key: &Key) -> Vec<String> {
    let Kind::Object(level) = key.kind else { return Vec::new() };
    let names: Vec<&str> = level.keys.iter().map(|key| key.name).collect();
    wrap(&format!("Keys: {}.", names.join(", ")), WIDTH)
}

#[cfg(test)]
mod tests {
    use dubernetes_manifest::{Parsed, Source};

    use super::*;

    fn example() -> String {
        file(&AppName::parse("web").unwrap(), &ImageRef::parse("web:1").unwrap())
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
    fn the_file_is_valid_as_it_is_and_says_no_more_than_it_must() {
        let parsed = parse(&example());
        let least = parse("name: web\nimage: web:1\n");
        assert_eq!(parsed.apps[0].spec, least.apps[0].spec);
        assert!(example().lines().all(|line| line.len() <= 100), "{}", example());
    }

    #[test]
    fn each_comment_can_be_used_alone_and_all_of_them_together() {
        let text = example();
        let optional: Vec<&str> = text.lines().filter(|line| is_key(line)).collect();
        let others = APP.iter().filter(|key| key.default != DefaultValue::Required).count();
        assert_eq!(optional.len(), others);
        let plain = parse(&text);
        for line in &optional {
            let with = parse(&text.replace(line, &line[1..]));
            assert_ne!(with.apps[0].spec, plain.apps[0].spec, "{line} changes nothing");
        }
        let all = text.lines().map(|line| if is_key(line) { &line[1..] } else { line });
        parse(&all.collect::<Vec<_>>().join("\n"));
    }
}
