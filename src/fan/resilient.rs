//! Options of a service about failures.

use super::builder::FanOutBuilder;
use super::work::Work;
use crate::error::Errors;
use crate::resilience::Clock;
use std::time::Duration;

impl<'a, T, W: Work<T>, P> FanOutBuilder<'a, T, W, P> {
    /// How long an item may take, from its acceptance to its outcome. One whose time is over when its turn comes is not started and ends as
    /// [`Expired`](crate::TaskError::Expired). A handler that runs is not stopped; it can ask for [`time_left`](crate::time_left), and
    /// what it returns counts.
    ///
    /// # Default
    ///
    /// None. Zero is refused by `start`.
    ///
    /// # Examples
    ///
    /// ```
    /// use fanpool::{FanOut, testing::ManualClock};
    /// use std::time::Duration;
    ///
    /// let clock = ManualClock::new();
    /// let (input, mut output) = FanOut::builder(|n: u8| Ok::<_, ()>(n))
    ///     .deadline(Duration::from_secs(1))
    ///     .clock(&clock)
    ///     .start()?;
    /// input.control().pause();
    /// input.send(1)?;
    /// clock.advance(Duration::from_secs(1));
    /// input.control().resume();
    /// assert!(output.recv()?.result.unwrap_err().is_expired());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn deadline(mut self, time: Duration) -> Self {
        self.policies.deadline = Some(time);
        self.policies.any = true;
        self
    }

    /// How long one attempt may take. The handler is not stopped; it is told by [`time_left`](crate::time_left).
    ///
    /// # Default
    ///
    /// None. Zero is refused by `start`.
    ///
    /// # Examples
    ///
    /// ```
    /// use fanpool::FanOut;
    /// use std::time::Duration;
    ///
    /// let (input, output) = FanOut::builder(|address: std::net::SocketAddr| {
    ///     let time = fanpool::time_left().unwrap_or(Duration::MAX);
    ///     std::net::TcpStream::connect_timeout(&address, time)
    /// })
    /// .attempt_timeout(Duration::from_secs(2))
    /// .start()?;
    /// # Ok::<(), fanpool::BuildError>(())
    /// ```
    pub fn attempt_timeout(mut self, time: Duration) -> Self {
        self.policies.attempt = Some(time);
        self.policies.any = true;
        self
    }

    /// Where the policies of this service read the time, and its outcomes' times.
    ///
    /// # Default
    ///
    /// [`Clock::system`].
    ///
    /// # Examples
    ///
    /// ```
    /// use fanpool::{FanOut, testing::ManualClock};
    ///
    /// let clock = ManualClock::new();
    /// let (input, output) = FanOut::builder(|n: u8| Ok::<_, ()>(n)).clock(&clock).start()?;
    /// # Ok::<(), fanpool::BuildError>(())
    /// ```
    pub fn clock(mut self, clock: impl Into<Clock>) -> Self {
        self.policies.clock = clock.into();
        self.policies.any = true;
        self
    }

    /// Hands every item that ends without a result to `sink`, before its outcome is delivered: with its errors by attempt, counted from 1, the
    /// last of which is that of the outcome. Each item is cloned before its handler is called.
    ///
    /// An item that was cancelled comes, too: there are as many calls as outcomes that are errors, but for those that a stage
    /// before has passed on, of which there is no item, and those whose clone panicked.
    ///
    /// `sink` runs on whichever thread has the item, several at a time. A panic of it is counted as
    /// [`contained`](crate::ServiceCounts::contained) and changes nothing.
    ///
    /// # Examples
    ///
    /// ```
    /// use fanpool::FanOut;
    /// use std::sync::{Arc, Mutex};
    ///
    /// let dead = Arc::new(Mutex::new(Vec::new()));
    /// let letters = dead.clone();
    /// let (input, output) = FanOut::builder(|text: &str| text.parse::<u8>())
    ///     .dead_letter(move |text, errors| letters.lock().unwrap().push(format!("{text}: {errors}")))
    ///     .start()?;
    /// input.send("seven")?;
    /// drop(input);
    /// output.partition();
    /// assert_eq!(*dead.lock().unwrap(), ["seven: number 1 failed: invalid digit found in string"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn dead_letter(mut self, sink: impl Fn(T, &Errors<W::Error>) + Send + Sync + 'a) -> Self
    where
        T: Clone,
    {
        self.policies.dead = Some(Box::new(sink));
        self.policies.copy = Some(T::clone);
        self.policies.any = true;
        self
    }
}
