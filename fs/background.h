/* background: leaving the terminal, while the command that was typed waits to hear how it went. */
#ifndef RINGFS_FS_BACKGROUND_H
#define RINGFS_FS_BACKGROUND_H

/* Goes on in a new process: the one that was started waits until background_tell() and exits with
 * what it is told, or with `otherwise` when nobody tells. Before any thread is made. Answers where
 * to tell, in the new process only; -1 when there can be none, said on stderr. */
int background_begin(int otherwise);
/* Nobody listens to stdout and stderr any more; the working directory is left. */
void background_leave_terminal(void);
/* Once. `where` is closed. */
void background_tell(int where, int exit_code);

#endif
