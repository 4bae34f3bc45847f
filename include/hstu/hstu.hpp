// SPDX-License-Identifier: MIT
// The whole library, in the order of its flow: this list is the table of contents.
#pragma once

#include <hstu/version.hpp>

// core: errors, tensors, random numbers, threads
#include <hstu/core/parallel.hpp>
#include <hstu/core/random_fill.hpp>
#include <hstu/core/tensor.hpp>
// autograd: recording, backward, gradcheck
#include <hstu/autograd/gradcheck.hpp>
// ops: mathematics with derivatives
#include <hstu/ops/activation.hpp>
#include <hstu/ops/columns.hpp>
#include <hstu/ops/dropout.hpp>
#include <hstu/ops/elementwise.hpp>
#include <hstu/ops/embedding.hpp>
#include <hstu/ops/gate.hpp>
#include <hstu/ops/gated_output.hpp>
#include <hstu/ops/hstu_attention.hpp>
#include <hstu/ops/l2_normalize.hpp>
#include <hstu/ops/layer_norm.hpp>
#include <hstu/ops/linear_silu.hpp>
#include <hstu/ops/matmul.hpp>
#include <hstu/ops/reduce.hpp>
#include <hstu/ops/reshape.hpp>
#include <hstu/ops/softmax.hpp>
// io: JSON, safetensors, atomic files
#include <hstu/io/jsonl_log.hpp>
#include <hstu/io/safetensors.hpp>
// data: rating files -> sequences -> batches
#include <hstu/data/batcher.hpp>
#include <hstu/data/features.hpp>
#include <hstu/data/prepared.hpp>
#include <hstu/data/read_ratings.hpp>
#include <hstu/data/report.hpp>
#include <hstu/data/seq_dataset.hpp>
#include <hstu/data/synthetic.hpp>
#include <hstu/data/titles.hpp>
// nn and model: layers with parameters, the models
#include <hstu/model/hstu.hpp>
#include <hstu/model/mixture_similarity.hpp>
// loss
#include <hstu/loss/cross_entropy.hpp>
#include <hstu/loss/multi_task.hpp>
#include <hstu/loss/negative_sampler.hpp>
#include <hstu/loss/sampled_softmax.hpp>
#include <hstu/loss/target_softmax.hpp>
// optim
#include <hstu/optim/adam.hpp>
#include <hstu/optim/clip.hpp>
#include <hstu/optim/schedule.hpp>
#include <hstu/optim/sgd.hpp>
// metrics: full ranking
#include <hstu/metrics/evaluate.hpp>
#include <hstu/metrics/prediction.hpp>
// train: presets, trainer, run folders
#include <hstu/train/presets.hpp>
#include <hstu/train/ranking_run.hpp>
#include <hstu/train/run.hpp>
// recommend: ranked items for one history, cached histories of many users, sequences of next items
#include <hstu/recommend/baselines.hpp>
#include <hstu/recommend/evaluate_generation.hpp>
#include <hstu/recommend/rank_candidates.hpp>
#include <hstu/recommend/recommender.hpp>
#include <hstu/recommend/server.hpp>
