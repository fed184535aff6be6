/* The point-to-point calls of NCCL for simulated GPUs in processes of one machine: sockets, and memory that is the host's anyway.
 * Found by whoever names this library in ACCORD_NCCL_LIB; ACCORD_SIM_NCCL=broken: no group comes together. */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <string>
#include <vector>
#include "cuda_runtime_api.h"

#define NCCL extern "C" __attribute__((visibility("default")))

namespace {

enum { OK = 0, SYSTEM_ERROR = 2, REMOTE_ERROR = 6 };

struct id_bytes {
    char internal[128];
};

struct comm {
    int rank, n, listener;
    std::string dir;
    std::vector<int> fd;
};

struct transfer {
    bool out;
    char *at;
    size_t left;
    int peer;
    comm *c;
    cudaStream_t stream;
};

std::vector<transfer> group;

sockaddr_un place(const comm *c, int rank)
{
    sockaddr_un a = {};
    a.sun_family = AF_UNIX;
    (void)snprintf(a.sun_path, sizeof a.sun_path, "%s/%d", c->dir.c_str(), rank);
    return a;
}

/* The higher rank calls, and says who it is. */
bool meet(comm *c, int peer)
{
    while (c->fd[(size_t)peer] < 0 && c->rank < peer) {
        const int fd = accept(c->listener, nullptr, nullptr);
        unsigned char who = 0;
        if (fd < 0 || read(fd, &who, 1) != 1 || who >= c->n) return false;
        c->fd[who] = fd;
    }
    for (int turn = 0; c->fd[(size_t)peer] < 0; turn++) {
        const sockaddr_un a = place(c, peer);
        const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        const unsigned char who = (unsigned char)c->rank;
        if (fd >= 0 && !connect(fd, (const sockaddr *)&a, sizeof a) && write(fd, &who, 1) == 1) {
            c->fd[(size_t)peer] = fd;
        } else {
            if (fd >= 0) (void)close(fd);
            if (turn > 1000) return false;
            (void)usleep(10000);
        }
    }
    return true;
}

bool move(transfer *t)
{
    const int fd = t->c->fd[(size_t)t->peer];
    const ssize_t n = t->out ? send(fd, t->at, t->left, MSG_DONTWAIT | MSG_NOSIGNAL) : recv(fd, t->at, t->left, MSG_DONTWAIT);
    if (n == 0) return false;
    if (n < 0) return true;              /* the poll tells of an end */
    t->at += n;
    t->left -= (size_t)n;
    return true;
}

int run_all()
{
    for (const transfer &t : group) {
        if (t.stream) (void)cudaStreamSynchronize(t.stream);
        if (!meet(t.c, t.peer)) return SYSTEM_ERROR;
    }
    for (;;) {
        std::vector<pollfd> p;
        for (transfer &t : group) {
            if (t.left && !move(&t)) return REMOTE_ERROR;
            if (t.left) p.push_back({ t.c->fd[(size_t)t.peer], (short)(t.out ? POLLOUT : POLLIN), 0 });
        }
        if (p.empty()) return OK;
        (void)poll(p.data(), p.size(), 1000);
        for (const pollfd &one : p)
            if (one.revents & (POLLERR | POLLNVAL)) return REMOTE_ERROR;
    }
}

int leave(comm *c)
{
    for (int fd : c->fd)
        if (fd >= 0) (void)close(fd);
    (void)close(c->listener);
    (void)unlink(place(c, c->rank).sun_path);
    (void)rmdir(c->dir.c_str());         /* the last one's succeeds */
    delete c;
    return OK;
}

}

NCCL int ncclGetUniqueId(id_bytes *id)
{
    (void)snprintf(id->internal, sizeof id->internal, "/tmp/accord_sim_nccl.XXXXXX");
    return mkdtemp(id->internal) ? OK : SYSTEM_ERROR;
}

NCCL int ncclCommInitRank(void **out, int n, id_bytes id, int rank)
{
    const char *how = getenv("ACCORD_SIM_NCCL");
    comm *c = new comm{ rank, n, socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), id.internal, std::vector<int>((size_t)n, -1) };
    const sockaddr_un a = place(c, rank);
    if (c->listener < 0 || bind(c->listener, (const sockaddr *)&a, sizeof a) || listen(c->listener, n) || (how && !strcmp(how, "broken"))) {
        (void)leave(c);
        return SYSTEM_ERROR;
    }
    *out = c;
    return OK;
}

NCCL int ncclCommDestroy(void *c)
{
    return leave(static_cast<comm *>(c));
}

NCCL int ncclCommAbort(void *c)
{
    return leave(static_cast<comm *>(c));
}

NCCL int ncclCommGetAsyncError(void *, int *result)
{
    *result = OK;
    return OK;
}

NCCL int ncclSend(const void *from, size_t n, int, int peer, void *c, cudaStream_t s)
{
    group.push_back({ true, const_cast<char *>(static_cast<const char *>(from)), n * sizeof(float), peer, static_cast<comm *>(c), s });
    return OK;
}

NCCL int ncclRecv(void *to, size_t n, int, int peer, void *c, cudaStream_t s)
{
    group.push_back({ false, static_cast<char *>(to), n * sizeof(float), peer, static_cast<comm *>(c), s });
    return OK;
}

NCCL int ncclGroupStart()
{
    group.clear();
    return OK;
}

NCCL int ncclGroupEnd()
{
    const int r = run_all();
    group.clear();
    return r;
}

NCCL const char *ncclGetErrorString(int r)
{
    return r == OK ? "no error" : r == REMOTE_ERROR ? "remote process has ended" : "unhandled system error";
}
