(** * Softmax in IEEE 754 binary32

    - [softmax_float]: the largest logit is subtracted, a library's exponentials are added from left
      to right, and each is divided by their sum;
    - [softmax_computed]: that is the softmax of Statement.v, of finite logits. No probability
      exceeds 1, because a sum of numbers that are not negative is no less than one of them, rounded
      or not.

    Rests on Loops.v. Runs.v takes it to networks. *)

From Coq Require Import Reals Lra Lia List ZArith.
From Flocq Require Import Core IEEE754.Binary IEEE754.Bits.
From Flocq Require IEEE754.BinarySingleNaN.
Import BinarySingleNaN(mode(..)).
From Lastbit Require Import Statement binary32.Terms binary32.Rounding binary32.Ieee binary32.Loops.
Import ListNotations.
Open Scope R_scope.

Local Instance positive_24 : Prec_gt_0 24 := eq_refl.
Local Instance valid_exponents : Valid_exp (SpecFloat.fexp 24 128) := FLT_exp_valid (-149) 24.

Section Softmax.
Variable m : mode.
Hypothesis Hm : nearest_mode m.

Notation rounded t := (round radix2 (SpecFloat.fexp 24 128) (BinarySingleNaN.round_mode m) t).

(** ** What grows, and what does not *)

Lemma plus_finite x y : finite (b32_plus m x y) = true -> finite x = true /\ finite y = true.
Proof.
  destruct x as [s|s|s p e|s a e b], y as [s'|s'|s' p' e'|s' a' e' b']; cbn;
    try (intros; split; congruence).
  all: destruct s, s'; discriminate.
Qed.

Lemma overflow_infinite x s : B2FF 24 128 x = binary_overflow 24 128 m s -> finite x = false /\
  real_of x = 0.
Proof.
  intros H. assert (E : binary_overflow 24 128 m s = F754_infinity s).
  { destruct Hm as [->| ->]; reflexivity. }
  rewrite E in H. destruct x; try discriminate. now split.
Qed.

(** What Flocq proves of an operation, for the proofs that its definition holds: from Coq 8.20 on
    they are opaque. *)
Ltac flocq_says operation correct K :=
  let body := eval unfold operation in operation in
  match body with _ ?a ?b ?p ?q ?n => pose proof (correct a b p q n) as K end.

(** A sum of numbers that are not negative is no less than either. *)
Lemma plus_grows x y : finite (b32_plus m x y) = true -> 0 <= real_of x -> 0 <= real_of y ->
  real_of x <= real_of (b32_plus m x y) /\ real_of y <= real_of (b32_plus m x y).
Proof.
  intros F X Y. destruct (plus_finite x y F) as [Fx Fy].
  flocq_says b32_plus Bplus_correct K. specialize (K m x y Fx Fy).
  destruct (Rlt_bool _ _).
  - destruct K as (E & _ & _). assert (R : real_of (b32_plus m x y) =
      rounded (real_of x + real_of y)) by exact E.
    rewrite R. split; apply round_ge_generic; try typeclasses eauto; try (apply in_format).
    all: lra.
  - destruct K as [E _]. destruct (overflow_infinite _ _ E) as [G _].
    assert (N : finite (b32_plus m x y) = false) by exact G. congruence.
Qed.

(** So is a loop's result. *)
Lemma loop_grows l acc : Forall (fun x => 0 <= real_of x) l -> 0 <= real_of acc ->
  let s := fold_left (b32_plus m) l acc in
  finite s = true -> finite acc = true /\ real_of acc <= real_of s /\
    Forall (fun x => finite x = true /\ real_of x <= real_of s) l.
Proof.
  intros F. revert acc. induction F as [|x l X F IH]; intros acc A s Fs;
    [repeat split; [exact Fs|apply Rle_refl|constructor]|].
  cbn [fold_left] in s. assert (P : 0 <= real_of (b32_plus m acc x)).
  { destruct (finite (b32_plus m acc x)) eqn:E.
    - apply Rle_trans with (1 := A). now apply plus_grows.
    - destruct (b32_plus m acc x); try discriminate; apply Rle_refl. }
  destruct (IH _ P Fs) as (G1 & G2 & G3). fold s in G2, G3.
  destruct (plus_finite _ _ G1) as [H1 H2]. destruct (plus_grows _ _ G1 A X) as [L1 L2].
  split; [exact H1|]. split; [lra|]. constructor; [split; [exact H2|lra]|]. exact G3.
Qed.

(** Subtracting the larger number. *)
Lemma minus_negative x y : finite x = true -> finite y = true -> real_of x <= real_of y ->
  real_of (b32_minus m x y) <= 0.
Proof.
  intros Fx Fy L. flocq_says b32_minus Bminus_correct K. specialize (K m x y Fx Fy).
  destruct (Rlt_bool _ _).
  - destruct K as (E & _ & _). assert (R : real_of (b32_minus m x y) =
      rounded (real_of x - real_of y)) by exact E.
    rewrite R. apply round_le_generic; try typeclasses eauto; [apply generic_format_0|lra].
  - destruct K as [E _]. right. exact (proj2 (overflow_infinite _ _ E)).
Qed.

Lemma quotient_below_one x s : finite (b32_div m x s) = true -> finite x = true ->
  (finite s = true -> 0 <= real_of x <= real_of s) ->
  0 <= real_of (b32_div m x s) <= 1.
Proof.
  intros F Fx H. destruct (finite s) eqn:Fs.
  - specialize (H eq_refl). destruct (Req_dec (real_of s) 0) as [Z|Z].
    + exfalso. revert F. destruct s as [b|b|b p e|b a e q]; try discriminate.
      * destruct x as [b'|b'|b' p' e'|b' a' e' q']; try discriminate.
      * cbn in Z. now apply eq_0_F2R in Z; destruct b.
    + flocq_says b32_div Bdiv_correct K. specialize (K m x s Z).
      assert (Q : 0 <= real_of x / real_of s <= 1).
      { split; [apply Rmult_le_pos; [lra|apply Rlt_le, Rinv_0_lt_compat; lra]|].
        apply (Rmult_le_reg_r (real_of s)); [lra|]. unfold Rdiv.
        rewrite Rmult_assoc, Rinv_l by lra. lra. }
      destruct (Rlt_bool _ _).
      * destruct K as (E & _ & _). assert (R : real_of (b32_div m x s) =
          rounded (real_of x / real_of s)) by exact E.
        rewrite R. split; [apply round_ge_generic|apply round_le_generic]; try typeclasses eauto;
          try lra; [apply generic_format_0|].
        change 1 with (bpow radix2 0). now apply generic_format_bpow.
      * destruct (overflow_infinite _ _ K) as [G _].
        assert (N : finite (b32_div m x s) = false) by exact G. congruence.
  - destruct s as [b|b|b p e|b a e q]; try discriminate;
      destruct x as [b'|b'|b' p' e'|b' a' e' q']; try discriminate; cbn; lra.
Qed.
(** ** Softmax *)

(** A library's exponential, of numbers that are not positive; it returns no negative number. *)
Variable exps : binary32 -> binary32.
Hypothesis Hexp : forall a, real_of a <= 0 -> computes_exp (value_of a) (value_of (exps a)).
Hypothesis exp_positive : forall a, 0 <= real_of (exps a).

(** The [c]-th of [n] probabilities, of the logits [z], of which the [k]-th is the largest. *)
Definition softmax_float (n : nat) (z : nat -> binary32) (k c : nat) : binary32 :=
  let e := fun j => exps (b32_minus m (z j) (z k)) in
  b32_div m (e c) (fold_left (b32_plus m) (map e (seq 0 n)) zero).

Theorem softmax_computed n z k : (k < n)%nat ->
  (forall j, (j < n)%nat -> finite (z j) = true /\ real_of (z j) <= real_of (z k)) ->
  computes_softmax n (fun j => value_of (z j)) (fun c => value_of (softmax_float n z k c)).
Proof.
  intros Hk Hz. set (d := fun j => b32_minus m (z j) (z k)). set (e := fun j => exps (d j)).
  set (s := fold_left (b32_plus m) (map e (seq 0 n)) zero).
  exists k, (fun j => value_of (d j)), (fun j => value_of (e j)), (value_of s). split; [exact Hk|].
  split; [|split; [|split; [|split]]].
  - intros j a b Hj Ea Eb. apply value_of_finite in Ea as [_ <-].
    apply value_of_finite in Eb as [_ <-]. now apply Hz.
  - intros j Hj. split; [now apply minus_computes|]. apply Hexp.
    apply minus_negative; [now apply Hz|now apply Hz|now apply Hz].
  - intros r Hr. assert (E : forall l a, fold_left (b32_plus m) (map e l) a =
      fold_left (plain m) (map (fun j => ([], e j)) l) a).
    { induction l as [|j l IH]; intros a; [reflexivity|]. cbn [map fold_left]. apply IH. }
    unfold s. rewrite E. assert (F : Forall finite_term (map (fun j => ([], e j)) (seq 0 n))).
    { apply Forall_forall. intros t Ht. apply in_map_iff in Ht. destruct Ht as (j & <- & Hj). apply
        in_seq in Hj.
      split; [constructor|]. exact (proj1 (value_of_finite _ _ (Hr j ltac:(lia)))). }
    replace (map (fun j => ([], r j)) (seq 0 n)) with (map term_of (map (fun j =>
      ([], e j)) (seq 0 n)));
      [exact (proj2 (left_to_right m Hm _ zero F eq_refl))|].
    rewrite map_map. apply map_ext_in. intros j Hj. apply in_seq in Hj. unfold term_of.
    cbn [fst snd map]. f_equal.
    exact (proj2 (value_of_finite _ _ (Hr j ltac:(lia)))).
  - intros j Hj. left. now apply quotient_computes.
  - intros j r Hj Hr. apply value_of_finite in Hr as [F <-].
    change (finite (b32_div m (e j) s) = true) in F.
    change (0 <= real_of (b32_div m (e j) s) <= 1). apply quotient_below_one; [exact F| |].
    + revert F. generalize (e j) s. clear. intros x s. destruct x, s; try discriminate; reflexivity.
    + intros Fs. split; [apply exp_positive|].
      destruct (loop_grows (map e (seq 0 n)) zero) as (_ & _ & G); [|apply Rle_refl|exact Fs|].
      * apply Forall_forall. intros x Hx. apply in_map_iff in Hx. destruct Hx as (i & <- & _).
        apply exp_positive.
      * rewrite Forall_forall in G. apply (G (e j)). apply in_map, in_seq. lia.
Qed.
End Softmax.
