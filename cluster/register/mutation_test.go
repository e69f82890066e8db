package register

import "testing"

// TestMutations breaks one rule at a time; the simulation must notice each. The
// seed that does must pass with the rule kept: it is the rule that mattered.
func TestMutations(t *testing.T) {
	if envInt("SIM_SEED", 0) != 0 {
		t.Skip("SIM_SEED replays one seed of TestSimulation")
	}
	for _, m := range []struct {
		name   string
		hooks  hooks
		keepID bool
		often  func(s *sim, h *simHost)
	}{
		{name: "answer before fsync", hooks: hooks{answerBeforeFsync: true}, often: (*sim).powerFailureMidWrite},
		{name: "keep the old id after a lost disk", keepID: true, often: (*sim).loseWitness},
		{name: "skip the expected-epoch check", hooks: hooks{skipExpect: true}},
		{name: "obey another generation", hooks: hooks{obeyGeneration: true}, often: (*sim).isolateAndRecover},
		{name: "apply before commit", hooks: hooks{applyUncommitted: true}},
	} {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			const seeds = 300
			for seed := int64(1); seed <= seeds; seed++ {
				s := simFor(seed)
				s.opt.hooks, s.opt.keepID, s.opt.often = m.hooks, m.keepID, m.often
				// Only a broken promise counts, not that nothing works any more.
				err := s.play()
				if err == nil || s.onlyStuck {
					continue
				}
				kept := simFor(seed)
				kept.opt.often = m.often
				if err := kept.play(); err != nil {
					t.Fatalf("without the mutation: %v", err)
				}
				t.Logf("found after %d seeds: %v", seed, err)
				return
			}
			t.Errorf("%d seeds passed with the rule broken", seeds)
		})
	}
}
