// The contender in Go: workers on channels. It answers requests on its standard input, one a line, so that rounds of
// it and of others can take turns:
//
//	shared|each two|one WINDOW ordered|any NANOS SLOW_FROM SLOW_NANOS ITEMS   ->  nanoseconds from first send to last outcome
//	pace shared|each two|one PAUSE_NANOS ITEMS                                ->  nanoseconds from send to outcome, of each
//	spawn NANOS TASKS                                                         ->  nanoseconds that a goroutine a task and their end take
//
// "shared" has one channel of items for both workers; with "each" every worker has its own, served in turn.
package main

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
	"sync"
	"time"
)

const workers = 2

var stepsPerMicro = 1.0

//go:noinline
func spin(steps int) uint64 {
	x := uint64(steps)
	for i := 0; i < steps; i++ {
		x = x*6364136223846793005 + 1
	}
	return x
}

func calibrate() {
	const steps = 1_000_000
	best := time.Hour
	for range 20 {
		began := time.Now()
		spin(steps)
		best = min(best, time.Since(began))
	}
	stepsPerMicro = steps / (float64(best) / 1000)
}

func stepsOf(nanos int) int {
	return int(float64(nanos) * stepsPerMicro / 1000)
}

type load struct {
	kind, caller, order                       string
	window, nanos, slowFrom, slowNanos, items int
}

type service struct {
	in      []chan int
	out     []chan int
	permits chan struct{}
	// Places for outcomes that came early; nil where they cannot or may.
	ring       []int
	sent, next int
}

func open(l load) *service {
	two, ordered := l.caller == "two", l.order == "ordered"
	s := &service{}
	ins, outs := 1, 1
	if l.kind == "each" {
		ins = workers
		if ordered {
			// Results in turn, as the items went.
			outs = workers
		}
	} else if ordered {
		s.ring = make([]int, l.window)
		for i := range s.ring {
			s.ring[i] = -1
		}
	}
	before, after := l.window, l.window
	if two {
		if s.ring == nil && l.window >= workers+2 {
			// The channels and the workers' hands are the window.
			free := l.window - workers
			before = free / 2 / ins
			after = (free - before*ins) / outs
		} else {
			s.permits = make(chan struct{}, l.window)
		}
	}
	for range ins {
		s.in = append(s.in, make(chan int, before))
	}
	for range outs {
		s.out = append(s.out, make(chan int, after))
	}
	quick, slow, slowFrom := stepsOf(l.nanos), stepsOf(l.slowNanos), l.slowFrom
	for i := range workers {
		in, out := s.in[i%ins], s.out[i%outs]
		go func() {
			for n := range in {
				steps := quick
				if n >= slowFrom {
					steps = slow
				}
				if steps > 0 {
					spin(steps)
				}
				out <- n
			}
		}()
	}
	return s
}

func (s *service) send(n int) {
	if s.permits != nil {
		s.permits <- struct{}{}
	}
	s.in[s.sent&(len(s.in)-1)] <- n
	s.sent++
}

func (s *service) recv() int {
	var n int
	if s.ring == nil {
		n = <-s.out[s.next&(len(s.out)-1)]
	} else {
		mask := len(s.ring) - 1
		mine := s.next & mask
		for s.ring[mine] < 0 {
			early := <-s.out[0]
			s.ring[early&mask] = early
		}
		n = s.ring[mine]
		s.ring[mine] = -1
	}
	s.next++
	if s.permits != nil {
		<-s.permits
	}
	return n
}

func (s *service) close() {
	for _, in := range s.in {
		close(in)
	}
}

func run(l load) time.Duration {
	s := open(l)
	defer s.close()
	sum, inOrder := 0, true
	began := time.Now()
	if l.caller == "two" {
		go func() {
			for n := range l.items {
				s.send(n)
			}
		}()
		for i := range l.items {
			n := s.recv()
			sum += n
			inOrder = inOrder && n == i
		}
	} else {
		sent := 0
		for i := range l.items {
			for sent < l.items && sent-i < l.window {
				s.send(sent)
				sent++
			}
			n := s.recv()
			sum += n
			inOrder = inOrder && n == i
		}
	}
	took := time.Since(began)
	if sum != l.items*(l.items-1)/2 || !inOrder && l.order == "ordered" {
		panic("an outcome is missing, came twice or is out of order")
	}
	return took
}

// Items are the times at which they were sent. The runtime sleeps for a millisecond where less is asked, once all is idle.
func pace(kind, caller string, pause time.Duration, items int) []time.Duration {
	s := open(load{kind: kind, caller: caller, order: "any", window: 64, slowFrom: 1 << 62})
	defer s.close()
	origin := time.Now()
	now := func() int { return int(time.Since(origin)) }
	ages := make([]time.Duration, 0, items)
	if caller == "two" {
		go func() {
			for range items {
				time.Sleep(pause)
				s.send(now())
			}
		}()
		for range items {
			sent := s.recv()
			ages = append(ages, time.Duration(now()-sent))
		}
	} else {
		for range items {
			time.Sleep(pause)
			s.send(now())
			sent := s.recv()
			ages = append(ages, time.Duration(now()-sent))
		}
	}
	return ages
}

// A goroutine for each task.
func spawn(nanos, tasks int) time.Duration {
	steps := stepsOf(nanos)
	var all sync.WaitGroup
	began := time.Now()
	for range tasks {
		all.Add(1)
		go func() {
			if steps > 0 {
				spin(steps)
			}
			all.Done()
		}()
	}
	all.Wait()
	return time.Since(began)
}

func main() {
	runtime.GOMAXPROCS(2)
	calibrate()
	requests := bufio.NewScanner(os.Stdin)
	for requests.Scan() {
		var l load
		var pause time.Duration
		request := requests.Text()
		if _, err := fmt.Sscanf(request, "pace %s %s %d %d", &l.kind, &l.caller, &pause, &l.items); err == nil {
			for _, age := range pace(l.kind, l.caller, pause, l.items) {
				fmt.Print(int(age), " ")
			}
			fmt.Println()
			continue
		}
		if _, err := fmt.Sscanf(request, "spawn %d %d", &l.nanos, &l.items); err == nil {
			fmt.Println(int(spawn(l.nanos, l.items)))
			continue
		}
		_, err := fmt.Sscanf(request, "%s %s %d %s %d %d %d %d", &l.kind, &l.caller, &l.window, &l.order, &l.nanos,
			&l.slowFrom, &l.slowNanos, &l.items)
		if err != nil {
			panic(err)
		}
		fmt.Println(int(run(l)))
	}
}
