// SPDX-License-Identifier: MIT
// Streams and events.  Work is done when it is asked for, so nothing ever waits.
#include "state.hpp"

using namespace ptx;

namespace {

CUresult check_stream(CUstream stream) {
  return with_context(
      [&](Context& context) { return is_stream(context, stream) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE; });
}

Event* known(Context& context, CUevent handle) {
  const auto found = context.events.find(reinterpret_cast<Event*>(handle));
  return found == context.events.end() ? nullptr : found->second.get();
}

CUresult check_event(CUevent event) {
  return with_context(
      [&](Context& context) { return known(context, event) != nullptr ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE; });
}

}  // namespace

extern "C" {

CUresult cuStreamCreateWithPriority(CUstream* stream, unsigned flags, int priority) {
  return with_context([&](Context& context) {
    if (stream == nullptr || flags > CU_STREAM_NON_BLOCKING) return CUDA_ERROR_INVALID_VALUE;
    auto made = std::make_unique<Stream>(Stream{flags, priority});
    *stream = reinterpret_cast<CUstream>(made.get());
    context.streams.emplace(made.get(), std::move(made));
    return CUDA_SUCCESS;
  });
}
CUresult cuStreamCreate(CUstream* stream, unsigned flags) {
  return cuStreamCreateWithPriority(stream, flags, 0);
}

CUresult cuStreamDestroy(CUstream stream) {
  return with_context([&](Context& context) {
    return context.streams.erase(reinterpret_cast<Stream*>(stream)) == 1 ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
  });
}
CUresult cuStreamSynchronize(CUstream stream) {
  return check_stream(stream);
}
CUresult cuStreamQuery(CUstream stream) {
  return check_stream(stream);
}

CUresult cuStreamWaitEvent(CUstream stream, CUevent event, unsigned) {
  const CUresult result = check_stream(stream);
  return result != CUDA_SUCCESS ? result : check_event(event);
}

CUresult cuStreamGetFlags(CUstream stream, unsigned* flags) {
  return with_context([&](Context& context) {
    if (flags == nullptr) return CUDA_ERROR_INVALID_VALUE;
    const auto found = context.streams.find(reinterpret_cast<Stream*>(stream));
    *flags = found == context.streams.end() ? 0 : found->second->flags;
    return is_stream(context, stream) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
  });
}

CUresult cuStreamGetPriority(CUstream stream, int* priority) {
  return with_context([&](Context& context) {
    if (priority == nullptr) return CUDA_ERROR_INVALID_VALUE;
    const auto found = context.streams.find(reinterpret_cast<Stream*>(stream));
    *priority = found == context.streams.end() ? 0 : found->second->priority;
    return is_stream(context, stream) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
  });
}

CUresult cuStreamGetCtx(CUstream stream, CUcontext* into) {
  return with_context([&](Context& context) {
    if (into == nullptr) return CUDA_ERROR_INVALID_VALUE;
    *into = reinterpret_cast<CUcontext>(&context);
    return is_stream(context, stream) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
  });
}

CUresult cuStreamIsCapturing(CUstream stream, CUstreamCaptureStatus* status) {
  if (status == nullptr) return CUDA_ERROR_INVALID_VALUE;
  *status = CU_STREAM_CAPTURE_STATUS_NONE;
  return check_stream(stream);
}

CUresult cuStreamAddCallback(CUstream stream, CUstreamCallback callback, void* data, unsigned) {
  const CUresult result = check_stream(stream);
  if (callback == nullptr) return CUDA_ERROR_INVALID_VALUE;
  if (result == CUDA_SUCCESS) callback(stream, CUDA_SUCCESS, data);
  return result;
}

CUresult cuEventCreate(CUevent* event, unsigned flags) {
  return with_context([&](Context& context) {
    if (event == nullptr) return CUDA_ERROR_INVALID_VALUE;
    auto made = std::make_unique<Event>();
    made->flags = flags;
    *event = reinterpret_cast<CUevent>(made.get());
    context.events.emplace(made.get(), std::move(made));
    return CUDA_SUCCESS;
  });
}

CUresult cuEventDestroy(CUevent event) {
  return with_context([&](Context& context) {
    return context.events.erase(reinterpret_cast<Event*>(event)) == 1 ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
  });
}

CUresult cuEventRecord(CUevent event, CUstream stream) {
  return with_context([&](Context& context) {
    Event* const known_event = known(context, event);
    if (known_event == nullptr || !is_stream(context, stream)) return CUDA_ERROR_INVALID_HANDLE;
    known_event->recorded = true;
    known_event->when = std::chrono::steady_clock::now();
    return CUDA_SUCCESS;
  });
}
CUresult cuEventRecordWithFlags(CUevent event, CUstream stream, unsigned) {
  return cuEventRecord(event, stream);
}
CUresult cuEventSynchronize(CUevent event) {
  return check_event(event);
}
CUresult cuEventQuery(CUevent event) {
  return check_event(event);
}

CUresult cuEventElapsedTime(float* milliseconds, CUevent start, CUevent end) {
  return with_context([&](Context& context) {
    const Event *const from = known(context, start), *const to = known(context, end);
    if (milliseconds == nullptr) return CUDA_ERROR_INVALID_VALUE;
    if (from == nullptr || to == nullptr || !from->recorded || !to->recorded ||
        ((from->flags | to->flags) & CU_EVENT_DISABLE_TIMING) != 0)
      return CUDA_ERROR_INVALID_HANDLE;
    *milliseconds = std::chrono::duration<float, std::milli>(to->when - from->when).count();
    return CUDA_SUCCESS;
  });
}

}  // extern "C"
