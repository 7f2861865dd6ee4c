//! A connection that is made when it is needed, and made anew after it was lost.
//!
//! Whatever leaves doubt about which answer comes next ends the connection: after a time-out the answer may still come, and would be taken
//! for that of the next command.

use super::config::{Redis, Target};
use super::fault::{Fault, Kind, judge, lost, refused};
use crate::connect::ConnectError;
use ::redis::{Cmd, Connection, Pipeline, RedisError, RedisResult, Value, cmd};
use std::time::Duration;

pub(super) struct Link {
    targets: Vec<Target>,
    connect_timeout: Duration,
    /// What a read waits at most: the response timeout, and what a command may ask the server to wait.
    read_timeout: Duration,
    write_timeout: Duration,
    open: Option<Connection>,
    /// The target that is connected to, or is to be tried first.
    at: usize,
    /// How many connections there were.
    pub(super) made: u64,
}

impl Link {
    /// `wait` is the most that a command asks the server to wait.
    pub(super) fn new(redis: &Redis, wait: Duration) -> Result<Link, ConnectError> {
        let (connect_timeout, response_timeout) = redis.timeouts();
        Ok(Link {
            targets: redis.targets()?,
            connect_timeout,
            read_timeout: response_timeout.saturating_add(wait),
            write_timeout: response_timeout,
            open: None,
            at: 0,
            made: 0,
        })
    }

    /// Sends one command; its answer, or its error.
    pub(super) fn ask(&mut self, command: &Cmd) -> Result<Value, Fault> {
        self.run(|open| command.query(open))
    }

    /// Sends them all at once; an answer for each. The first error of any is the result.
    pub(super) fn ask_all(&mut self, commands: &Pipeline) -> Result<Vec<Value>, Fault> {
        let answers = self.try_all(commands)?;
        answers.into_iter().collect()
    }

    /// Sends them all at once; an answer or an error for each.
    pub(super) fn try_all(&mut self, commands: &Pipeline) -> Result<Vec<Result<Value, Fault>>, Fault> {
        // The client's own way waits as long for each of the answers, though the first one did not come.
        let answers = self.run(|open| {
            open.send_packed_command(&commands.get_packed_pipeline())?;
            (0..commands.len()).map(|_| open.recv_response()).collect::<RedisResult<Vec<_>>>()
        })?;
        let answers: Vec<_> = answers
            .into_iter()
            .map(|answer| match answer {
                Value::ServerError(error) => Err(self.judge(&RedisError::from(error))),
                answer => Ok(answer),
            })
            .collect();
        if answers.iter().flat_map(|answer| answer.as_ref().err()).any(|fault| fault.kind == Kind::Away) {
            self.hang_up();
        }
        Ok(answers)
    }

    fn run<T>(&mut self, command: impl FnOnce(&mut Connection) -> RedisResult<T>) -> Result<T, Fault> {
        let open = match &mut self.open {
            Some(open) => open,
            None => self.connect()?,
        };
        command(open).map_err(|error| {
            let fault = self.judge(&error);
            if matches!(fault.kind, Kind::Away) || error.is_io_error() {
                self.hang_up();
            }
            fault
        })
    }

    fn judge(&self, error: &RedisError) -> Fault {
        judge(error, &self.targets[self.at].name, self.targets.len() > 1)
    }

    pub(super) fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// The next connection is to another server, if there is one: this may be a replica now.
    fn hang_up(&mut self) {
        self.open = None;
        self.at = (self.at + 1) % self.targets.len();
    }

    pub(super) fn close(&mut self) {
        self.open = None;
    }

    pub(super) fn connect(&mut self) -> Result<&mut Connection, Fault> {
        let count = self.targets.len();
        let mut faults = Vec::new();
        for at in (self.at..self.at + count).map(|at| at % count) {
            match self.greet(&self.targets[at]) {
                Ok(connection) => {
                    self.at = at;
                    self.made += 1;
                    return Ok(self.open.insert(connection));
                }
                Err(fault) => faults.push(fault),
            }
        }
        // If but one of them may be there later, trying again may help.
        if count == 1 || faults.iter().all(|fault| fault.kind != Kind::Away) {
            return Err(faults.swap_remove(0));
        }
        let texts: Vec<_> = faults
            .into_iter()
            .map(|fault| match fault.error {
                ConnectError::Lost { what, .. } => what,
                ConnectError::Refused { what, advice, .. } => format!("{what}: {advice}"),
                other => other.to_string(),
            })
            .collect();
        Err(lost(texts.join("; ")))
    }

    /// Connects, and says who it is. Credentials are not left to the client, which takes every error for a wrong password.
    fn greet(&self, target: &Target) -> Result<Connection, Fault> {
        let judge = |error: RedisError| judge(&error, &target.name, self.targets.len() > 1);
        let mut connection = target.client.get_connection_with_timeout(self.connect_timeout).map_err(judge)?;
        connection.set_write_timeout(Some(self.write_timeout)).map_err(judge)?;
        connection.set_read_timeout(Some(self.write_timeout)).map_err(judge)?;
        if let Some(password) = &target.password {
            let mut auth = cmd("AUTH");
            target.user.iter().for_each(|user| {
                auth.arg(user);
            });
            auth.arg(password).exec(&mut connection).map_err(|error| {
                let fault = judge(error);
                match &fault.error {
                    ConnectError::Refused { what, .. } if !what.contains("WRONGPASS") => {
                        let what = format!("{}: it takes no password", target.name);
                        refused(Kind::Other, what, "leave `password` out, or have the server ask for it")
                    }
                    _ => fault,
                }
            })?;
        }
        if target.database != 0 {
            cmd("SELECT").arg(target.database).exec(&mut connection).map_err(judge)?;
        }
        // An answer shows that it has loaded its data, and takes the credentials.
        match cmd("PING").exec(&mut connection).map_err(judge) {
            Err(fault) if fault.kind != Kind::Denied => return Err(fault),
            _ => {}
        }
        connection.set_read_timeout(Some(self.read_timeout)).map_err(judge)?;
        Ok(connection)
    }
}
