//! A service as what feeds it from outside sees it.

use super::Wait;
use super::builder::FanOutBuilder;
use super::input::Input;
use super::output::Output;
use super::policies::History;
use super::service::Pass;
use super::start::Alone;
use super::work::Work;
use crate::error::{BuildError, Rejection, TaskError};
use crate::sync::Arc;

/// A service that is fed by one thread.
pub(crate) struct Fed<T, R, E> {
    pub(crate) feed: Feed<T, E>,
    pub(crate) output: Output<'static, R, E>,
}

/// Where the items go in. There is no other input, so their numbers are 0, 1, 2, ..
pub(crate) struct Feed<T, E> {
    input: Input<'static, T>,
    failures: Arc<dyn Pass<E>>,
}

impl<T, E> Feed<T, E> {
    /// Sends an item, or in its place the word that there is none, once there is room. Returns whether it was accepted.
    pub(crate) fn send(&self, item: Option<T>) -> Result<(), Option<T>> {
        match item {
            Some(item) => self.input.send(item).map(drop).map_err(|refused| Some(refused.into_inner())),
            None => {
                let error = TaskError::Rejected(Rejection::Message);
                self.failures.pass(error, Wait::Until(None)).map(drop).map_err(|_| None)
            }
        }
    }
}

impl<T, W> FanOutBuilder<'static, T, W, Alone>
where
    T: Send + 'static,
    W: Work<T> + 'static,
{
    pub(crate) fn window_size(&self) -> usize {
        self.choices.window
    }

    /// Starts the service, and tells `history` of the attempts before the last of items.
    pub(crate) fn start_fed(
        mut self,
        history: History<'static, W::Error>,
    ) -> Result<Fed<T, W::Out, W::Error>, BuildError> {
        if self.policies.breaker.is_some() && self.policies.waits_for().is_none() {
            return Err(BuildError::Conflict { option: "breaker", with: "consumer without breaker_waits" });
        }
        if self.policies.retry.is_some() {
            self.policies.history = Some(history);
        }
        let (core, output) = self.launch()?;
        let failures: Arc<dyn Pass<W::Error>> = core.clone();
        let input = Input::new(core, output.control());
        Ok(Fed { feed: Feed { input, failures }, output })
    }
}
