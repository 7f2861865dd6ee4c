//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;

pub(crate) const USAGE: &str = "usage: cluster [feed|work|merge] [--engine memory|redis|rabbitmq|kafka] [--at ADDRESS]... [--job NAME] [--state FILE] [PATH]...";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Feed,
    Work,
    Merge,
    All,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Memory,
    Redis,
    RabbitMq,
    Kafka,
}

#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) role: Role,
    pub(crate) kind: Kind,
    pub(crate) addresses: Vec<String>,
    pub(crate) job: String,
    pub(crate) state: Option<PathBuf>,
    pub(crate) paths: Vec<PathBuf>,
}

impl Options {
    pub(crate) fn parse(arguments: impl Iterator<Item = OsString>) -> Result<Options, String> {
        let mut options = Options {
            role: Role::All,
            kind: Kind::Memory,
            addresses: Vec::new(),
            job: "words".into(),
            state: None,
            paths: Vec::new(),
        };
        let mut arguments = arguments.peekable();
        let role = arguments.peek().and_then(|first| match first.to_str()? {
            "feed" => Some(Role::Feed),
            "work" => Some(Role::Work),
            "merge" => Some(Role::Merge),
            _ => None,
        });
        if let Some(role) = role {
            options.role = role;
            arguments.next();
        }
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or(format!("{} needs a value", argument.to_string_lossy()));
            let text = |value: OsString| value.into_string().map_err(|_| "options are text".to_owned());
            match argument.to_str() {
                Some("--engine") => {
                    options.kind = match &*text(value()?)? {
                        "memory" => Kind::Memory,
                        "redis" => Kind::Redis,
                        "rabbitmq" => Kind::RabbitMq,
                        "kafka" => Kind::Kafka,
                        other => return Err(format!("there is no engine {other:?}")),
                    }
                }
                Some("--at") => options.addresses.push(text(value()?)?),
                Some("--job") => options.job = text(value()?)?,
                Some("--state") => options.state = Some(value()?.into()),
                Some("--") => options.paths.extend(arguments.by_ref().map(PathBuf::from)),
                Some(other) if other.starts_with("--") => return Err(format!("there is no option {other:?}")),
                _ => options.paths.push(argument.into()),
            }
        }
        if (options.kind == Kind::Memory) != (options.role == Role::All) {
            return Err("a role needs an engine other than memory, and these need a role".into());
        }
        if options.kind != Kind::Memory && options.addresses.is_empty() {
            return Err("--at is missing".into());
        }
        if matches!(options.role, Role::Feed | Role::All) == options.paths.is_empty() {
            return Err("paths are what is fed".into());
        }
        Ok(options)
    }
}
