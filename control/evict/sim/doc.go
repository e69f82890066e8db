// Package sim is for tests: seeded histories in which the real decision about evictions (control/evict), fed by the real
// evidence (control/galera and its group), and its real execution act on the model of Galera's group layer (gcomm), in virtual
// time. What does I/O in the product is rebuilt thinly around its pure parts; the rebuilt part of each file says what it stands for.
//
// A history is a function of its seed: SIM_SEED=N go test ./control/evict/sim -run TestSimulation -v plays one and prints
// its script. SOAK=1 plays 100,000, from SOAK_FIRST on; SIM_HISTORIES is another number.
//
// What the product does wrong, and so seldom that it is counted and not failed, is called a FINDING in the sums and the scripts.
package sim
