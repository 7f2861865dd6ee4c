//! Batches.

use super::core::{Core, SlotOf, panicked};
use super::landing::Done;
use super::slot::Finished;
use super::work::Work;
use crate::error::TaskError;
use crate::panics;
use crate::sync::now;
use crate::trace::Entered;
use std::time::Instant;

type Handler<'a, T, W> = &'a dyn Fn(Vec<T>) -> Vec<Result<<W as Work<T>>::Out, <W as Work<T>>::Error>>;

impl<'a, T: Send + 'a, W: Work<T> + 'a> Core<'a, T, W> {
    /// Runs what is in the hand as one batch.
    pub(super) fn run_batch(
        &self,
        lane: usize,
        slot: &SlotOf<T, W>,
        handler: Handler<'_, T, W>,
        finished: &mut Finished<W::Out, W::Error>,
        worker: u32,
        last: &mut Instant,
    ) {
        let began = *last;
        let at = (began - self.began).as_nanos() as u64;
        let (mut heads, mut items, mut from) = (Vec::new(), Vec::new(), Vec::new());
        for entry in slot.take_waiting() {
            heads.push((entry.seq, entry.sent, entry.mark));
            items.push(entry.item);
            from.push(entry.trace);
        }
        if heads.is_empty() {
            // The service was stopped in between, or the alarm has put the batch back.
            return;
        }
        let entered = Entered::batch(&self.settings.name, items.len(), from.iter());
        slot.set_item(heads.first().map(|(seq, ..)| *seq));
        let answers = panics::catch(|| handler(items));
        slot.set_item(None);
        if let Err(payload) = &answers {
            entered.panicked(payload);
        }
        entered.leave();
        *last = now();
        let ran = (*last - began).as_nanos() as u64;
        let mut answers = match answers {
            Ok(answers) if answers.len() == heads.len() => Answers::Each(answers.into_iter()),
            Ok(answers) => {
                let wrong = Answers::Wrong { items: heads.len(), answers: answers.len() };
                panics::drop_each(answers);
                wrong
            }
            Err(payload) => Answers::Panicked(panics::message(&payload), Some(payload)),
        };
        for (seq, sent, mark) in heads {
            self.unload(lane, mark);
            let done = Done { seq, queued: at.saturating_sub(sent), ran, worker, attempts: 1, result: answers.next() };
            finished.done.push_back(done);
            if self.settings.keyed {
                finished.keys.push(mark);
            }
        }
    }
}

/// What a batch handler answered.
enum Answers<I> {
    Each(I),
    Wrong { items: usize, answers: usize },
    Panicked(String, Option<panics::Payload>),
}

impl<R, E, I: Iterator<Item = Result<R, E>>> Answers<I> {
    /// The next item's. The first gets the payload of a panic, the others its text.
    fn next(&mut self) -> Result<R, TaskError<E>> {
        match self {
            Answers::Each(answers) => match answers.next() {
                Some(answer) => answer.map_err(TaskError::Failed),
                None => Err(TaskError::WrongBatch { items: 1, answers: 0 }),
            },
            Answers::Wrong { items, answers } => Err(TaskError::WrongBatch { items: *items, answers: *answers }),
            Answers::Panicked(text, payload) => Err(panicked(payload.take().unwrap_or_else(|| Box::new(text.clone())))),
        }
    }
}

#[cfg(all(test, not(fanpool_loom)))]
mod tests {
    use crate::fan::{FanOut, Wait};
    use crate::sync::atomic::Ordering;
    use std::sync::mpsc;
    use std::time::Duration;

    #[test]
    fn what_the_first_batch_after_a_pause_leaves_is_due_in_time() {
        let (begun, begins) = mpsc::channel();
        let (open, gate) = mpsc::channel::<()>();
        let gate = std::sync::Mutex::new(gate);
        let work = move |items: Vec<u64>| {
            begun.send(items.len()).unwrap();
            let _ = gate.lock().unwrap().recv();
            items.into_iter().map(Ok::<_, ()>).collect()
        };
        let builder = FanOut::builder_batch(4, Duration::from_secs(3600), work).workers(1);
        let (core, output) = builder.launch().unwrap();
        let control = output.control();
        control.pause();
        core.accept(0, Wait::Not).unwrap();
        assert!(core.armed.load(Ordering::Relaxed));
        // In a pause the alarm finds nothing to do.
        crate::pool::Alarm::due(&*core);
        // The last two are no batch yet, and not due when the first is begun.
        for n in 1..6 {
            core.accept(n, Wait::Not).unwrap();
        }
        assert!(!core.armed.load(Ordering::Relaxed));
        control.resume();
        assert_eq!(begins.recv().unwrap(), 4);
        // Whether there is a free thread then, the alarm finds out.
        let armed = core.armed.load(Ordering::Relaxed);
        drop(open);
        drop(output);
        assert!(armed);
    }
}
