//! A service fed from a channel that is there already.

use super::builder::FanOutBuilder;
use super::control::Control;
use super::input::Input;
use super::output::Output;
use super::start::{Alone, Ends};
use super::work::Work;
use crate::error::{BuildError, SendError};
use crate::sync::channel::{self, Receiver, Sender};
use crate::sync::{Arc, Mutex, thread};
use std::fmt;

/// The thread that feeds a service from a channel; made by [`FanOutBuilder::start_from`].
///
/// It ends, and closes the service, when the channel is disconnected and empty, or when the service refuses an item. Dropping it
/// ends it too, at once, and joins the thread: an item that it has taken and that waits for room is dropped.
///
/// # Examples
///
/// ```
/// use fanpool::FanOut;
///
/// let (sender, receiver) = crossbeam_channel::unbounded();
/// let (feeder, output) = FanOut::builder(|n: u64| Ok::<_, ()>(n * n)).start_from(receiver)?;
/// (1..=3).for_each(|n| sender.send(n).unwrap());
/// drop(sender);
/// assert_eq!(output.results().flatten().sum::<u64>(), 14);
/// assert!(feeder.join().is_ok());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "dropping the feeder ends the feeding"]
pub struct Feeder<T> {
    thread: Option<thread::JoinHandle>,
    left: Arc<Mutex<Left<T>>>,
    cut: Option<Sender<()>>,
    control: Control<'static>,
}

/// What is left between the feeder and its thread.
struct Left<T> {
    refused: Option<SendError<T>>,
    /// From a feeder that does not wait, so that its end does not cut the feeding.
    cut: Option<Sender<()>>,
}

impl<T> Feeder<T> {
    /// Waits until the channel is disconnected and empty, or the service refuses an item. Called by a handler of the service it does not
    /// wait, since the feeder may wait for the room that the handler's own item takes; it goes on by itself then.
    ///
    /// # Errors
    ///
    /// The item that was taken from the channel and refused, and why.
    ///
    /// # Examples
    ///
    /// ```
    /// let (sender, receiver) = crossbeam_channel::unbounded();
    /// let (feeder, output) = fanpool::FanOut::builder(|n: u64| Ok::<_, ()>(n)).start_from(receiver)?;
    /// drop(output);
    /// sender.send(7)?;
    /// assert_eq!(feeder.join().unwrap_err().into_inner(), 7);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn join(mut self) -> Result<(), SendError<T>> {
        if self.control.is_inside() {
            self.thread = None;
            self.left.lock().cut = self.cut.take();
        }
        self.wait();
        self.left.lock().refused.take().map_or(Ok(()), Err)
    }

    fn wait(&mut self) {
        if let Some(thread) = self.thread.take() {
            if thread.id() != thread::id() {
                thread.join();
            }
        }
    }
}

impl<T> Drop for Feeder<T> {
    fn drop(&mut self) {
        if self.thread.is_some() {
            self.cut = None;
            // The thread may wait for room, which nobody is obliged to make.
            self.control.close();
            self.wait();
        }
    }
}

impl<T> fmt::Debug for Feeder<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Feeder").field("ended", &self.thread.is_none()).finish_non_exhaustive()
    }
}

impl<T, W> FanOutBuilder<'static, T, W, Alone>
where
    T: Send + 'static,
    W: Work<T> + 'static,
{
    /// Starts the service with the items of a channel, which a thread of its own, `<name>-feeder`, takes as long as the window has
    /// room.
    ///
    /// # Errors
    ///
    /// As [`start`](FanOutBuilder::start).
    ///
    /// # Examples
    ///
    /// ```
    /// let (sender, receiver) = crossbeam_channel::bounded(4);
    /// std::thread::spawn(move || (0..9).for_each(|n| drop(sender.send(n))));
    /// let (feeder, output) = fanpool::FanOut::builder(|n: u64| Ok::<_, ()>(n)).ordered().start_from(receiver)?;
    /// assert!(output.results().flatten().eq(0..9));
    /// # Ok::<(), fanpool::BuildError>(())
    /// ```
    #[expect(clippy::type_complexity, reason = "two plain types, spelt out for the reader of the documentation")]
    pub fn start_from(self, items: Receiver<T>) -> Result<(Feeder<T>, Output<'static, W::Out, W::Error>), BuildError> {
        let (input, output): Ends<'static, T, W> = self.start()?;
        let (cut, cuts) = channel::bounded(1);
        let left = Arc::new(Mutex::new(Left { refused: None, cut: None }));
        let kept = left.clone();
        let control = output.control();
        let name = format!("{}-feeder", control.name());
        match thread::start(name, None, move || feed(&input, &items, &cuts, &kept)) {
            Ok(thread) => Ok((Feeder { thread: Some(thread), left, cut: Some(cut), control }, output)),
            Err(source) => Err(BuildError::Thread { wanted: 1, started: 0, source }),
        }
    }
}

fn feed<T>(input: &Input<'static, T>, items: &Receiver<T>, cut: &Receiver<()>, left: &Mutex<Left<T>>) {
    while let Ok(item) = channel::recv_unless(items, cut) {
        if let Err(error) = input.send(item) {
            left.lock().refused = Some(error);
            return;
        }
    }
}
