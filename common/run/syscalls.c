#include "common/run/syscalls.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__x86_64__)
#define ARCHITECTURE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCHITECTURE AUDIT_ARCH_AARCH64
#else
#error "the seccomp filter knows x86-64 and arm64"
#endif

/* The build machine's kernel headers may be older than the kernel it runs on. Since 5.0 a new
 * system call has one number on every architecture. */
#define NR_PIDFD_SEND_SIGNAL 424
#define NR_IO_URING_SETUP 425
#define NR_PIDFD_OPEN 434
#define NR_CLONE3 435
#define NR_PIDFD_GETFD 438
#define NR_PROCESS_MADVISE 440
#define NR_MEMFD_SECRET 447
#define NR_FCHMODAT2 452

static const uint32_t refused[] = {
    /* The network, and other processes by way of sockets. */
    SYS_socket, SYS_socketpair, SYS_bind, SYS_connect, SYS_listen, SYS_accept, SYS_accept4,
    NR_IO_URING_SETUP, SYS_io_setup,
/* Further processes; clone makes threads, and is looked at more closely. */
#ifdef SYS_fork
    SYS_fork, SYS_vfork,
#endif
    SYS_unshare, SYS_setns,
    /* Other processes. */
    SYS_ptrace, SYS_process_vm_readv, SYS_process_vm_writev, SYS_kcmp, SYS_rt_sigqueueinfo,
    SYS_rt_tgsigqueueinfo, SYS_tkill, SYS_setpriority, SYS_sched_setscheduler, SYS_sched_setattr,
    SYS_ioprio_set, SYS_migrate_pages, SYS_move_pages, NR_PIDFD_SEND_SIGNAL, NR_PIDFD_OPEN,
    NR_PIDFD_GETFD, NR_PROCESS_MADVISE, SYS_setsid, SYS_setpgid,
    /* System V and POSIX queues and memory, which no namespace of ours closes. */
    SYS_shmget, SYS_shmat, SYS_semget, SYS_msgget, SYS_mq_open,
    /* The kernel's own surface. */
    SYS_mount, SYS_umount2, SYS_pivot_root, SYS_chroot, SYS_bpf, SYS_perf_event_open, SYS_keyctl,
    SYS_add_key, SYS_request_key, SYS_userfaultfd, SYS_init_module, SYS_finit_module,
    SYS_delete_module, SYS_kexec_load, SYS_reboot, SYS_swapon, SYS_swapoff, SYS_quotactl,
    SYS_name_to_handle_at, SYS_open_by_handle_at, SYS_personality, SYS_syslog, SYS_acct,
    SYS_settimeofday, SYS_clock_settime, SYS_clock_adjtime, SYS_adjtimex, SYS_sethostname,
    SYS_setdomainname, SYS_vhangup, SYS_fanotify_init, SYS_memfd_create, NR_MEMFD_SECRET,
/* Landlock does not judge these, and the user has other files than those handed over. */
#ifdef SYS_chmod
    SYS_chmod, SYS_chown, SYS_lchown, SYS_utime, SYS_utimes, SYS_futimesat,
#endif
    SYS_fchmod, SYS_fchmodat, NR_FCHMODAT2, SYS_fchown, SYS_fchownat, SYS_utimensat, SYS_setxattr,
    SYS_lsetxattr, SYS_fsetxattr, SYS_removexattr, SYS_lremovexattr, SYS_fremovexattr, SYS_mknodat};
#define REFUSED_COUNT (sizeof refused / sizeof refused[0])

#define FIELD(name) ((uint32_t)offsetof(struct seccomp_data, name))
#define FIRST_ARGUMENT ((uint32_t)offsetof(struct seccomp_data, args[0])) /* its low half */
#define LOAD(offset) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offset)
#define RETURN(what) BPF_STMT(BPF_RET | BPF_K, what)
/* Go on with the next instruction if the value is that; else skip so many. */
#define EXPECT(value, otherwise) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, otherwise)
#define ALLOW RETURN(SECCOMP_RET_ALLOW)
#define REFUSE RETURN(SECCOMP_RET_ERRNO | EPERM)
#define OTHER_INSTRUCTIONS 40
#define X32_CALLS 0x40000000u

struct program {
    struct sock_filter code[2 * REFUSED_COUNT + OTHER_INSTRUCTIONS];
    unsigned short count;
};

static void put(struct program *program, const struct sock_filter *code, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        program->code[program->count++] = code[i];
    }
}
#define PUT(program, ...)                                                                          \
    put(program, (const struct sock_filter[]){__VA_ARGS__},                                        \
        sizeof((const struct sock_filter[]){__VA_ARGS__}) / sizeof(struct sock_filter))

/* One of our own architecture; leaves the number of the call loaded. */
static void put_start(struct program *program)
{
    PUT(program, LOAD(FIELD(arch)), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCHITECTURE, 1, 0),
        RETURN(SECCOMP_RET_KILL_PROCESS), LOAD(FIELD(nr)),
        BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, X32_CALLS, 0, 1), REFUSE);
}

/* Threads are made by clone; clone3 has its flags in memory, where a filter cannot look, and
 * whoever finds it missing takes clone. */
static void put_threads(struct program *program)
{
    PUT(program, EXPECT(NR_CLONE3, 1), RETURN(SECCOMP_RET_ERRNO | ENOSYS), EXPECT(SYS_clone, 4),
        LOAD(FIRST_ARGUMENT), BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, CLONE_THREAD, 0, 1), ALLOW,
        REFUSE);
}

/* What names a process may name this one alone; its pid stays through the exec. */
static void put_self(struct program *program)
{
    const uint32_t self = (uint32_t)getpid();
    PUT(program, EXPECT(SYS_kill, 4), LOAD(FIRST_ARGUMENT), EXPECT(self, 1), ALLOW, REFUSE);
    PUT(program, EXPECT(SYS_tgkill, 4), LOAD(FIRST_ARGUMENT), EXPECT(self, 1), ALLOW, REFUSE);
    PUT(program, EXPECT(SYS_prlimit64, 5), LOAD(FIRST_ARGUMENT),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 1, 0), EXPECT(self, 1), ALLOW, REFUSE);
}

bool syscalls_restrict(void)
{
    struct program program = {.count = 0};
    put_start(&program);
    for (size_t i = 0; i < REFUSED_COUNT; i++) {
        PUT(&program, EXPECT(refused[i], 1), REFUSE);
    }
    put_threads(&program);
    put_self(&program);
    PUT(&program, ALLOW);
    const struct sock_fprog filter = {.len = program.count, .filter = program.code};
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter, 0, 0) == 0;
}
