//! Recording the times of some jobs. Those are wrapped as they are queued, so that whoever runs jobs does nothing for
//! it.

use super::{Inbox, TaskGroup};
use crate::job::Call;
use crate::job::{Job, Verdict};
use crate::observe::Run;
use crate::sync::now;

impl TaskGroup {
    /// Has the times of a job recorded, if it is one of those that are.
    #[inline]
    pub(super) fn timed(&self, inbox: &mut Inbox, job: Job<'static>) -> Job<'static> {
        let Some(recorder) = &self.recorder else { return job };
        if inbox.untimed > 0 {
            inbox.untimed -= 1;
            return job;
        }
        inbox.untimed = recorder.every() - 1;
        let (recorder, sent, tag) = (recorder.clone(), now(), job.tag());
        let wrapped = move |call| {
            if call == Call::Abandon {
                return job.call(call);
            }
            // Recorded when it is dropped: also if the job panics.
            let run = Run::begin(&recorder, sent);
            let verdict = job.call(call);
            match verdict {
                Verdict::Finished | Verdict::Panicked => drop(run),
                Verdict::NotStarted | Verdict::Discarded | Verdict::Elsewhere => run.forget(),
            }
            verdict
        };
        Job::new(wrapped).tagged(tag)
    }
}
