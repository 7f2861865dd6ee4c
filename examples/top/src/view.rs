//! What is on the screen: a pure function of snapshots.

use fanpool::{Metrics, Rates, WorkerState};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Style, Stylize};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Paragraph, Sparkline};
use std::collections::VecDeque;
use std::time::Duration;

/// Snapshots that the sparklines show.
const PAST: usize = 240;
const BAR: usize = 20;

/// What the screen shows, made of one snapshot after the other.
pub(crate) struct View {
    now: Metrics,
    rates: Rates,
    before: Metrics,
    queued: VecDeque<u64>,
    throughput: VecDeque<u64>,
}

fn push(past: &mut VecDeque<u64>, value: u64) {
    if past.len() == PAST {
        past.pop_front();
    }
    past.push_back(value);
}

impl View {
    pub(crate) fn new(first: Metrics) -> View {
        let rates = first.since(&first);
        View { before: first.clone(), now: first, rates, queued: VecDeque::new(), throughput: VecDeque::new() }
    }

    pub(crate) fn take(&mut self, now: Metrics) {
        self.rates = now.since(&self.now);
        self.before = std::mem::replace(&mut self.now, now);
        push(&mut self.queued, self.now.queued as u64);
        push(&mut self.throughput, self.rates.throughput.round() as u64);
    }

    /// The whole screen, whatever its size.
    pub(crate) fn draw(&self, frame: &mut Frame<'_>, load: &dyn std::fmt::Display) {
        let rows = [
            Constraint::Length(4),
            Constraint::Length(5),
            Constraint::Length(5),
            Constraint::Min(3),
            Constraint::Length(1),
        ];
        let [head, queue, throughput, workers, keys] = Layout::vertical(rows).areas(frame.area());
        frame.render_widget(Paragraph::new(self.head(load)), head);
        let title = format!("queue: {} wait, the oldest {}", self.now.queued, time(self.now.oldest_wait));
        sparkline(frame, queue, title, &self.queued, Color::Yellow);
        let title = format!("throughput: {:.0} tasks/s", self.rates.throughput);
        sparkline(frame, throughput, title, &self.throughput, Color::Green);
        self.draw_workers(frame, workers);
        let help = "0 idle  1 steady  2 10x  3 blocking  q quit  ! crash";
        frame.render_widget(Paragraph::new(help).dim(), keys);
    }

    fn head(&self, load: &dyn std::fmt::Display) -> Vec<Line<'static>> {
        let workers = &self.now.workers;
        let tasks = &self.now.tasks;
        let times = self.rates.times.as_ref();
        let of = |quantile| {
            let wait = times.and_then(|times| times.wait.quantile(quantile));
            let run = times.and_then(|times| times.run.quantile(quantile));
            format!("wait {:>9}  run {:>9}", time(wait), time(run))
        };
        vec![
            Line::from(vec![
                Span::from(format!("pool {:?}  load ", self.now.name)),
                Span::from(format!("{load:<9}")).bold(),
                Span::from(format!("utilisation {:>3.0} %", 100.0 * self.rates.utilisation)),
            ]),
            Line::from(format!(
                "workers: {} of {} to {}: {} idle, {} busy, {} blocked, {} leaving",
                workers.total(),
                workers.min,
                workers.max,
                workers.idle,
                workers.busy,
                workers.blocked,
                workers.leaving
            )),
            Line::from(format!("tasks:   {} finished, {} panicked", tasks.finished, tasks.panicked)),
            Line::from(format!("p50 {}   p99 {}", of(0.5), of(0.99))),
        ]
    }

    fn draw_workers(&self, frame: &mut Frame<'_>, area: Rect) {
        let block = Block::bordered().title("workers: share of the last interval, state, group");
        let room = usize::from(block.inner(area).height);
        let workers = &self.now.per_worker;
        let shown = if workers.len() > room { room.saturating_sub(1) } else { workers.len() };
        let mut lines: Vec<_> = workers
            .iter()
            .take(shown)
            .map(|worker| {
                let before = self.before.per_worker.iter().find(|before| before.index == worker.index);
                let busy = worker.busy.saturating_sub(before.map(|before| before.busy).unwrap_or_default());
                let share = busy.as_secs_f64() / self.rates.elapsed.as_secs_f64().max(1e-9);
                let color = match worker.state {
                    WorkerState::Busy => Color::Green,
                    WorkerState::Blocked => Color::Magenta,
                    WorkerState::Leaving => Color::Red,
                    _ => Color::DarkGray,
                };
                let group = worker.group.as_deref().unwrap_or_default();
                Line::from(vec![
                    Span::from(format!("{:>3} ", worker.index)),
                    Span::styled(bar(share), Style::new().fg(color)),
                    Span::from(format!(" {:<8} {group}", worker.state.to_string())),
                ])
            })
            .collect();
        if workers.len() > shown {
            lines.push(Line::from(format!("and {} more", workers.len() - shown)));
        }
        frame.render_widget(Paragraph::new(lines).block(block), area);
    }
}

fn sparkline(frame: &mut Frame<'_>, area: Rect, title: String, past: &VecDeque<u64>, color: Color) {
    let block = Block::bordered().title(title);
    // The last are what fits.
    let skip = past.len().saturating_sub(usize::from(block.inner(area).width));
    let line = Sparkline::default().data(past.iter().skip(skip).copied()).style(Style::new().fg(color)).block(block);
    frame.render_widget(line, area);
}

fn bar(share: f64) -> String {
    let full = (share.clamp(0.0, 1.0) * BAR as f64).round() as usize;
    format!("{}{} {:>3.0} %", "\u{2588}".repeat(full), "\u{2591}".repeat(BAR - full), 100.0 * share.clamp(0.0, 1.0))
}

fn time(time: Option<Duration>) -> String {
    time.map_or("-".into(), |time| format!("{time:.1?}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    #[test]
    fn it_fits_any_screen() {
        let pool = fanpool::Pool::builder().workers(8).build().unwrap();
        let mut view = View::new(pool.metrics());
        (0..300).for_each(|_| view.take(pool.metrics()));
        assert_eq!(view.queued.len(), PAST);
        for (width, height) in [(1, 1), (3, 50), (200, 4), (80, 24), (100, 30)] {
            let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
            terminal.draw(|frame| view.draw(frame, &"idle")).unwrap();
        }
    }

    #[test]
    fn bars_are_as_long_as_the_share() {
        for (share, full) in [(-1.0, 0), (0.0, 0), (0.5, 10), (1.0, 20), (7.0, 20), (f64::NAN, 0)] {
            assert_eq!(bar(share).matches('\u{2588}').count(), full, "{share}");
        }
    }
}
