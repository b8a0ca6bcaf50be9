/* scenario: a directed run: what happens when, told by a script. */
#ifndef RINGFS_TESTS_SIM_SCENARIO_H
#define RINGFS_TESTS_SIM_SCENARIO_H

#include <stdbool.h>

/* For what random runs miss. The script runs over the whole simulator, with a quiet network, and
 * ends like every run: all heals, is drained and judged. One command a line, # begins a comment.
 * Nodes: n1 .. n7, or first, second, third = the replicas of row r0's partition in the order of
 * preference. Sessions s0 .. s3 are clients of their own; rows r0 .. r4 lie in one partition.
 * Messages: batch replicate read repair prepare tail propose chosen hint handoff slice any; `get+`
 * is the reply to a get, and so on.
 *
 *   nodes 5                           before all else; 3 unless told
 *   reap 20s                          next: with anti-entropy, and tombstones that all replicas
 *                                     have held for so long go
 *   s0 create r0 [via first] [in 2s]  asks: get, strict (get), put (nothing seen), update (what
 *                                     the session saw last), overwrite, match (if-match), create
 *                                     (if-absent), delete (as put, overwrite or match, by the
 *                                     dice), erase (as overwrite), patch
 *   s0 is done|conflict|unknown|...   waits for the answer: the name of err.h, `done`, `any`
 *   run 500ms                         time passes
 *   crash n1 | start n1 | stop n1     processes; `crash` keeps nothing that was not answered
 *   pause n1 2s                       no event reaches it
 *   slow n1 | fail n1                 its disk is slow from now on | refuses its next commit
 *   cut n1 n2 | deaf n1 n2            neither hears the other | n2 does not hear n1
 *   isolate n1                        nobody hears it, it hears nobody
 *   mend                              ends all cuts
 *   hold propose first second         messages from a node to a node (`any` = all, clients too) are
 *                                     held, or
 *   lose replicate any third          lost, from now on
 *   pass                              ends holding and losing; what was held goes on
 *   when first sent propose crash first   the first time that it happens (also: got), at once:
 *                                     crash, pause, isolate
 *
 * 0; 1 when the run broke a promise or went otherwise than told (printed); 2 when the script cannot
 * be read. */
int scenario_run(const char *path, bool tracing);

#endif
