/* The sandbox process of a pod: keeps the pod's namespaces, reaps its orphans, ends on SIGTERM and SIGINT. With -v it
   prints its version and ends: `kubeadm upgrade` runs that as a job and waits for its end. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void end(int signal) { _exit(128 + signal == 143 ? 0 : 1); }
static void reap(int signal) {
  (void)signal;
  while (waitpid(-1, 0, WNOHANG) > 0) {
  }
}

int main(int argc, char **argv) {
  for (int i = 1; i < argc; i++) {
    if (strcmp(argv[i], "-v") == 0) {
      printf("pause %s\n", VERSION);
      return 0;
    }
  }
  signal(SIGTERM, end);
  signal(SIGINT, end);
  signal(SIGCHLD, reap);
  for (;;) pause();
}
