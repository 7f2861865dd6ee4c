//! A blocking HTTP client that keeps to the time that a handler has left.

use fanpool::time_left;
use std::{fmt, io};
use ureq::typestate::WithoutBody;
use ureq::{Agent, RequestBuilder};

/// What went wrong with an attempt.
#[derive(Debug)]
pub(crate) enum Fault {
    Status(u16),
    Client(Box<ureq::Error>),
}

impl Fault {
    /// The host is in trouble: it may go better the next time, and others will not fare better now.
    pub(crate) fn passes(&self) -> bool {
        match self {
            Fault::Status(status) => *status >= 500 || matches!(status, 408 | 429),
            Fault::Client(error) => !matches!(
                **error,
                ureq::Error::BadUri(_)
                    | ureq::Error::TooManyRedirects
                    | ureq::Error::RedirectFailed
                    | ureq::Error::Tls(_)
            ),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Status(status) => write!(f, "status {status}"),
            Fault::Client(error) => error.fmt(f),
        }
    }
}

impl From<ureq::Error> for Fault {
    fn from(error: ureq::Error) -> Self {
        Fault::Client(Box::new(error))
    }
}

/// A client that tells every status from the others, and asks no proxy unless `proxies` allows what the environment says.
pub(crate) fn agent(proxies: bool) -> Agent {
    let config = Agent::config_builder().http_status_as_error(false);
    let config = if proxies { config } else { config.proxy(None) };
    config.build().new_agent()
}

/// Makes a request and returns how many bytes it has, in the time that is left.
pub(crate) fn fetch(request: RequestBuilder<WithoutBody>) -> Result<u64, Fault> {
    let response = request.config().timeout_global(time_left()).build().call()?;
    let status = response.status();
    if !status.is_success() {
        return Err(Fault::Status(status.as_u16()));
    }
    io::copy(&mut response.into_body().as_reader(), &mut io::sink()).map_err(|error| ureq::Error::from(error).into())
}
