//! What was chosen for a service, and what is made of it.

use super::Tap;
use super::control::Control;
use super::core::{Clock, Core};
use super::health::Checks;
use super::landing::{Done, Landing};
use super::output::{Home, Output};
use super::policies::Policies;
use super::queue::Entry;
use super::settings::{Class, Help, Mark, Route, Settings, Spread};
use super::verdict::Verdict;
use super::work::{Batching, Work};
use crate::error::{BuildError, OnError};
use crate::group::Host;
#[cfg(feature = "timings")]
use crate::observe::Timings;
use crate::pool::{Resizer, STUCK_AFTER, check_stuck_after};
use crate::sync::channel;
use crate::sync::{Arc, Weak};
use std::time::Duration;

/// A service and its collector's end.
pub(super) type Assembled<'a, T, W> = (Arc<Core<'a, T, W>>, Output<'a, <W as Work<T>>::Out, <W as Work<T>>::Error>);

pub(super) struct Choices<'a, T> {
    pub(super) name: String,
    pub(super) limit: Option<usize>,
    pub(super) window: usize,
    pub(super) ordered: bool,
    pub(super) route: Route<'a, T>,
    pub(super) key: Option<Mark<'a, T>>,
    pub(super) class: Option<Class<'a, T>>,
    pub(super) weigh: Option<Mark<'a, T>>,
    pub(super) help: Option<Help>,
    pub(super) on_error: OnError,
    pub(super) expected: Option<usize>,
    #[cfg(feature = "timings")]
    pub(super) timings: Timings,
    pub(super) stuck_after: Duration,
}

impl<'a, T> Choices<'a, T> {
    pub(super) fn new() -> Self {
        Choices {
            name: "fanout".into(),
            limit: None,
            window: 1024,
            ordered: false,
            route: Route::Shared,
            key: None,
            class: None,
            weigh: None,
            help: None,
            on_error: OnError::CollectAll,
            expected: None,
            #[cfg(feature = "timings")]
            timings: Timings::off(),
            stuck_after: STUCK_AFTER,
        }
    }

    pub(super) fn spread(&self) -> Spread {
        match self.route {
            Route::Shared => Spread::Shared,
            Route::RoundRobin => Spread::RoundRobin,
            Route::LeastLoaded => Spread::Least,
            Route::ByKey(_) => Spread::Hash,
        }
    }

    /// Checks the options; nothing has been started.
    pub(super) fn check<W: Work<T>>(&self, work: &W) -> Result<(), BuildError> {
        let bytes = size_of::<Entry<T>>() + size_of::<Done<W::Out, W::Error>>();
        BuildError::check("window", self.window, 1..=isize::MAX as usize / bytes)?;
        if let Some(limit) = self.limit {
            BuildError::check("limit", limit, 1..=usize::MAX)?;
        }
        if let Some(Batching { max, .. }) = work.batching() {
            BuildError::check("batch", max, 1..=self.window)?;
        }
        check_stuck_after(self.stuck_after)?;
        if let Some(nul) = self.name.find('\0') {
            return Err(BuildError::Name { nul });
        }
        if self.key.is_some() && self.spread() != Spread::Shared {
            return Err(BuildError::Conflict { option: "key", with: "route" });
        }
        Ok(())
    }

    #[expect(clippy::too_many_arguments, reason = "the parts that differ between services alone and in scopes")]
    pub(super) fn assemble<W>(
        self,
        work: W,
        policies: Policies<'a, T, W::Error>,
        home: Home,
        lanes: usize,
        host: Arc<dyn Host>,
        tap: Tap<'a>,
        clock: impl FnOnce(&Weak<Core<'a, T, W>>) -> Option<Clock>,
        resizer: Option<Resizer>,
    ) -> Assembled<'a, T, W>
    where
        T: Send + 'a,
        W: Work<T> + 'a,
    {
        let scoped = matches!(home, Home::Scope);
        let (bell, rings) = channel::bounded(1);
        let landing = Arc::new(Landing::new(self.window, bell, Verdict::new(self.on_error, self.ordered)));
        let settings = Settings {
            route: self.spread(),
            lanes,
            limit: self.limit.unwrap_or(usize::MAX),
            help: self.help.unwrap_or(if scoped { Help::Both } else { Help::Never }),
            scoped,
            keyed: self.key.is_some(),
            mark: match self.route {
                Route::ByKey(key) => Some(key.0),
                Route::LeastLoaded => self.weigh,
                Route::Shared | Route::RoundRobin => self.key,
            },
            class: self.class,
            expected: self.expected,
            #[cfg(feature = "timings")]
            recorder: self.timings.recorder(),
        };
        let checks = Checks::new(policies.clock.clone(), self.stuck_after, self.ordered);
        let core = Core::new(work, policies.guard(), settings, landing.clone(), host, tap, clock);
        let control = Control::new(core.clone(), resizer, self.name.into(), checks);
        let output = Output::new(landing, control, rings, self.ordered, self.on_error, home);
        (core, output)
    }
}
