/* Copyright (c) 2026 the certautopilot.ops authors
 * GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
 * SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What the faults of hsm_shim.c count: the types of PKCS#11 they need, their settings, and the state that all processes
 * of a test share when SHIM_STATE names a file. tests/support/hsm_shim.py reads the names of the counters from here.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

typedef unsigned long CK_ULONG;
typedef CK_ULONG CK_RV;
typedef unsigned char CK_BYTE;
typedef struct { CK_BYTE version[2]; void *entry[68]; } FUNCTIONS;
typedef struct { CK_ULONG type; void *parameter; CK_ULONG length; } MECHANISM;

enum {
    CKR_OK = 0, CKR_GENERAL_ERROR = 0x5, CKR_CANT_LOCK = 0xA, CKR_ATTRIBUTE_TYPE_INVALID = 0x12,
    CKR_DEVICE_ERROR = 0x30, CKR_DEVICE_MEMORY = 0x31,
    CKR_MECHANISM_PARAM_INVALID = 0x71, CKR_PIN_INCORRECT = 0xA0, CKR_PIN_LOCKED = 0xA4, CKR_SESSION_COUNT = 0xB1,
    CKR_TOKEN_NOT_PRESENT = 0xE0, CKR_USER_NOT_LOGGED_IN = 0x101, CKR_BUFFER_TOO_SMALL = 0x150
};

/* calls: C_Encrypt and C_Decrypt with an output buffer that the rate cap let through, whatever became of them.
 * admitted, refused: by the rate cap. pin_tries: wrong PINs since the last right one; wrong_pins: all of them.
 * fault_calls: of the function of SHIM_FAULT_FUNCTION; faults: those of them that failed.
 * next_free: when the rate cap has room again, in ns. */
enum counter {
    calls, encrypted, decrypted, length_queries, admitted, refused, injected, corrupted, initialised, finalised, finds,
    logins, wrong_pins, pin_tries, opened, closed, session_refusals, drops, next_free, fault_calls, faults, COUNTERS
};

enum { OWNERS = 64 };

typedef struct {
    CK_ULONG counter[COUNTERS];
    struct { CK_ULONG pid, sessions; } owner[OWNERS];
} STATE;

static FUNCTIONS real, ours;
static STATE own_state, *state = &own_state;
static int state_file = -1;

static CK_ULONG setting(const char *name) {
    const char *text = getenv(name);
    return text ? strtoul(text, NULL, 0) : 0;
}

/* Maps the file of SHIM_STATE, made when it is not there. Once in each process; returns whether that went well. */
static int share_state(void) {
    const char *path = getenv("SHIM_STATE");
    void *mapped;
    if (!path || state_file >= 0) return 1;
    state_file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (state_file < 0 || ftruncate(state_file, sizeof(STATE))) return 0;
    mapped = mmap(NULL, sizeof(STATE), PROT_READ | PROT_WRITE, MAP_SHARED, state_file, 0);
    if (mapped == MAP_FAILED) return 0;
    state = mapped;
    return 1;
}

/* The lock goes with a process that crashes while it holds it. */
static void lock_state(void) {
    if (state_file >= 0)
        while (flock(state_file, LOCK_EX) && errno == EINTR) continue;
}

static void unlock_state(void) {
    if (state_file >= 0) flock(state_file, LOCK_UN);
}

static CK_ULONG count(enum counter which) {
    return __atomic_add_fetch(&state->counter[which], 1, __ATOMIC_SEQ_CST);
}

static CK_ULONG now_ns(void) {
    struct timespec moment;
    clock_gettime(CLOCK_MONOTONIC, &moment);
    return (CK_ULONG)moment.tv_sec * 1000000000 + (CK_ULONG)moment.tv_nsec;
}

/* Returns whether SHIM_RATE_CAP lets this call through. The cap is a bucket that holds a tenth of a second's calls, so
 * that idle time cannot be saved up for a burst. */
static int admit(void) {
    CK_ULONG cap = setting("SHIM_RATE_CAP"), now, *next = &state->counter[next_free];
    int granted;
    if (!cap) return 1;
    lock_state();
    now = now_ns();
    if (*next + 100000000 < now) *next = now - 100000000;
    granted = *next <= now;
    if (granted) *next += 1000000000 / cap;
    unlock_state();
    count(granted ? admitted : refused);
    return granted;
}

/* Returns the sessions that all living processes hold. What a dead one left open is forgotten, as an HSM does that
 * sees its connection end. The state is locked. */
static CK_ULONG sessions_held(void) {
    CK_ULONG sum = 0;
    for (int i = 0; i < OWNERS; i++) {
        if (state->owner[i].pid && kill((pid_t)state->owner[i].pid, 0) && errno == ESRCH)
            state->owner[i].pid = state->owner[i].sessions = 0;
        sum += state->owner[i].sessions;
    }
    return sum;
}

/* Returns this process's number of sessions, to be changed while the state is locked; NULL where there is no room. */
static CK_ULONG *own_sessions(void) {
    CK_ULONG pid = (CK_ULONG)getpid();
    for (int i = 0; i < OWNERS; i++)
        if (state->owner[i].pid == pid) return &state->owner[i].sessions;
    sessions_held(); /* forgets the dead, and gives their places */
    for (int i = 0; i < OWNERS; i++)
        if (!state->owner[i].pid) {
            state->owner[i].pid = pid;
            return &state->owner[i].sessions;
        }
    return NULL;
}
