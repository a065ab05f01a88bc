(** * What one pixel does to the first two SiLUs

    A convolution, SiLU, a depthwise convolution and SiLU, in real arithmetic. Within one channel, a
    pixel moves [n] units q of the first convolution and [m] units r of the second; with mean slopes
    [s1], [s2] of the two SiLUs and dual weights [a], the channel moves by exactly

        sum_r a_r s2_r sum_q w_rq s1_q d_q                                  ([moved]).

    - [mean_slope_within], [mean_slope_moves]: mean slopes exist, and are in every interval that
      holds all slopes;
    - [largest_at_ends]: with slopes in intervals this is at most [largest_move], for which all 2^n
      choices of ends of the [s1] are tried, and for each of them the better end of every [s2];
      [largest_attained]: and no less;
    - [first_layers]: the values of the second SiLU, weighted, move by at most the larger of
      [largest_move] in both senses, channel by channel, times the pixel's step.

    Rests on Slopes.v. Stands behind first_layers.py: [largest_move] is one channel of [_largest],
    [most_moved] is [most] in [FirstLayers.change]. That slopes are in their intervals, for all
    images or for a box, is a premise here ([slopes_between]); in first_layers.py
    [FirstLayers.slopes] finds these. *)

From Coq Require Import Reals Lra List.
From Lastbit Require Import Statement Totals curves.Slopes.
From Coquelicot Require Import Coquelicot.
Import ListNotations.
Open Scope R_scope.

(** ** Mean slopes *)

Definition mean_slope (z z' : R) : R :=
  if Req_EM_T z z' then silu' z else (silu z' - silu z) / (z' - z).

Theorem mean_slope_moves z z' : silu z' - silu z = mean_slope z z' * (z' - z).
Proof. unfold mean_slope. destruct (Req_EM_T z z') as [<-|N]; [ring|]. field. lra. Qed.

Theorem mean_slope_within lo hi l u z z' : (forall t, lo <= t <= hi -> l <= silu' t <= u) ->
  lo <= z <= hi -> lo <= z' <= hi -> l <= mean_slope z z' <= u.
Proof.
  intros H Hz Hz'. unfold mean_slope. destruct (Req_EM_T z z') as [<-|N]; [now apply H|].
  destruct (MVT_gen silu z z' silu') as (c & Hc & E).
  - intros t _. apply silu_derive.
  - intros t _. apply continuity_pt_filterlim, (ex_derive_continuous silu).
    eexists; apply silu_derive.
  - rewrite E. replace (silu' c * (z' - z) / (z' - z)) with (silu' c) by (field; lra). apply H.
    now apply (between lo hi z z').
Qed.

Corollary silu_mean_slope lo hi l u z z' : (forall t, lo <= t <= hi -> l <= silu' t <= u) ->
  lo <= z <= hi -> lo <= z' <= hi -> exists s, l <= s <= u /\ silu z' - silu z = s * (z' - z).
Proof.
  intros H Hz Hz'. exists (mean_slope z z').
  split; [now apply (mean_slope_within lo hi)|apply mean_slope_moves].
Qed.

(** ** The largest of a list *)

Definition most (l : list R) : R := match l with [] => 0 | x :: l' => fold_right Rmax x l' end.

Lemma most_ge l x : In x l -> x <= most l.
Proof.
  destruct l as [|y l]; [easy|]. cbn [most In]. revert x.
  induction l as [|z l IH]; intros x; cbn [fold_right In].
  - intros [->|[]]. lra.
  - intros [->|[->|H]].
    + apply Rle_trans with (2 := Rmax_r _ _). apply IH. now left.
    + apply Rmax_l.
    + apply Rle_trans with (2 := Rmax_r _ _). apply IH. now right.
Qed.

Lemma most_in l : l <> [] -> In (most l) l.
Proof.
  destruct l as [|y l]; [easy|]. intros _. cbn [most]. induction l as [|z l IH]; [now left|].
  cbn [fold_right In] in *. apply Rmax_case; [now right; left|].
  destruct IH as [E|H]; [now left|now right; right].
Qed.

(** ** Choices of ends *)

(** As [itertools.product((0, 1), repeat=n)]. *)
Fixpoint choices (n : nat) : list (list bool) :=
  match n with O => [[]] | S n' => map (cons false) (choices n') ++
    map (cons true) (choices n') end.

Lemma choices_all c : In c (choices (length c)).
Proof.
  induction c as [|[] c IH]; [now left| |]; cbn [length choices]; apply in_or_app; [right|left];
    now apply in_map.
Qed.

Lemma choices_some n : choices n <> [].
Proof.
  induction n as [|n IH]; [easy|]. cbn [choices]. destruct (choices n); [easy|]. discriminate.
Qed.

Definition pick (l u : nat -> R) (c : list bool) (q : nat) : R :=
  if nth q c false then u q else l q.

(** A weighted sum is largest where each number is at the end that its weight's sign says. *)
Lemma best_ends n G l u s : (forall q, (q < n)%nat -> l q <= s q <= u q) ->
  exists c, In c (choices n) /\ over n (fun q => G q * s q) <= over n (fun q => G q * pick l u c q).
Proof.
  intros H. exists (map (fun q => if Rle_dec 0 (G q) then true else false) (seq 0 n)). split.
  - rewrite <- (length_seq n 0) at 2.
    rewrite <- (length_map (fun q => if Rle_dec 0 (G q) then true else false)). apply choices_all.
  - apply over_le. intros q Hq. unfold pick.
    set (f := fun q => if Rle_dec 0 (G q) then true else false).
    rewrite (nth_indep _ false (f 0%nat)) by now rewrite length_map, length_seq.
    rewrite map_nth, seq_nth by exact Hq. unfold f. rewrite Nat.add_0_l. specialize (H q Hq).
    destruct (Rle_dec 0 (G q)) as [P|P].
    + apply Rmult_le_compat_l; lra.
    + apply Rmult_le_compat_neg_l; lra.
Qed.

(** ** One channel *)

Section Channel.
Variables n m : nat.
(* units of the first convolution that the pixel moves, of the second *)
Variables (a : nat -> R) (w : nat -> nat -> R) (d : nat -> R).

Definition inner (s : nat -> R) (r : nat) : R := over n (fun q => w r q * s q * d q).
Definition moved (s1 s2 : nat -> R) : R := over m (fun r => a r * s2 r * inner s1 r).

Variables l1 u1 l2 u2 : nat -> R.

(** For one choice of the ends of the [s1]; [sign] is 1 or -1. *)
Definition better (sign : R) (s1 : nat -> R) : R :=
  over m (fun r => Rmax (a r * l2 r * (sign * inner s1 r)) (a r * u2 r * (sign * inner s1 r))).
Definition largest_move (sign : R) : R :=
  most (map (fun c => better sign (pick l1 u1 c)) (choices n)).

Definition in_first (s : nat -> R) : Prop := forall q, (q < n)%nat -> l1 q <= s q <= u1 q.
Definition in_second (s : nat -> R) : Prop := forall r, (r < m)%nat -> l2 r <= s r <= u2 r.

Lemma moved_first sign s1 s2 : sign * moved s1 s2 =
  over n (fun q => over m (fun r => sign * (a r * s2 r * w r q * d q)) * s1 q).
Proof.
  unfold moved, inner. rewrite <- over_scale.
  transitivity (over m (fun r => over n (fun q => sign * (a r * s2 r * w r q * d q) * s1 q))).
  - apply over_ext. intros r _. rewrite <- !over_scale. apply over_ext. intros; ring.
  - rewrite over_swap. apply over_ext. intros q _. rewrite (Rmult_comm _ (s1 q)), <- over_scale.
    apply over_ext. intros; ring.
Qed.

Lemma moved_second sign s1 s2 : in_second s2 -> sign * moved s1 s2 <= better sign s1.
Proof.
  intros H. unfold moved, better. rewrite <- over_scale. apply over_le. intros r Hr.
  specialize (H r Hr). set (i := inner s1 r).
  replace (sign * (a r * s2 r * i)) with (s2 r * (a r * (sign * i))) by ring.
  destruct (Rle_dec 0 (a r * (sign * i))) as [P|P].
  - apply Rle_trans with (2 := Rmax_r _ _).
    replace (a r * u2 r * (sign * i)) with (u2 r * (a r * (sign * i))) by ring.
    now apply Rmult_le_compat_r.
  - apply Rle_trans with (2 := Rmax_l _ _).
    replace (a r * l2 r * (sign * i)) with (l2 r * (a r * (sign * i))) by ring.
    rewrite !(Rmult_comm _ (a r * _)). apply Rmult_le_compat_neg_l; lra.
Qed.

(* map: with slopes in intervals the first two SiLUs move most at ends *)
Theorem largest_at_ends sign s1 s2 : in_first s1 -> in_second s2 ->
  sign * moved s1 s2 <= largest_move sign.
Proof.
  intros H1 H2. rewrite moved_first.
  destruct (best_ends n (fun q => over m (fun r => sign * (a r * s2 r * w r q * d q))) l1 u1 s1 H1)
    as (c & Hc & L).
  apply Rle_trans with (1 := L). rewrite <- moved_first.
  apply Rle_trans with (1 := moved_second sign _ s2 H2).
  apply most_ge, (in_map (fun c => better sign (pick l1 u1 c))), Hc.
Qed.

Theorem largest_at_ends_abs s1 s2 : in_first s1 -> in_second s2 ->
  Rabs (moved s1 s2) <= Rmax (largest_move 1) (largest_move (-1)).
Proof.
  intros H1 H2. assert (P := largest_at_ends 1 s1 s2 H1 H2).
  assert (N := largest_at_ends (-1) s1 s2 H1 H2). unfold Rabs. destruct Rcase_abs.
  - apply Rle_trans with (2 := Rmax_r _ _). lra.
  - apply Rle_trans with (2 := Rmax_l _ _). lra.
Qed.

(** Some slopes in the intervals attain it. *)
Theorem largest_attained sign : (forall q, (q < n)%nat -> l1 q <= u1 q) ->
  (forall r, (r < m)%nat -> l2 r <= u2 r) ->
  exists s1 s2, in_first s1 /\ in_second s2 /\ sign * moved s1 s2 = largest_move sign.
Proof.
  intros H1 H2.
  assert (I : In (largest_move sign) (map (fun c => better sign (pick l1 u1 c)) (choices n))).
  { apply most_in. intros E. now apply map_eq_nil, choices_some in E. }
  apply in_map_iff in I. destruct I as (c & E & _). set (s1 := pick l1 u1 c) in *.
  exists s1,
    (fun r => if Rle_dec (a r * l2 r * (sign * inner s1 r)) (a r * u2 r * (sign * inner s1 r))
      then u2 r else l2 r).
  split; [|split].
  - intros q Hq. specialize (H1 q Hq). unfold s1, pick. destruct nth; lra.
  - intros r Hr. specialize (H2 r Hr). destruct Rle_dec; lra.
  - rewrite <- E. unfold moved, better. rewrite <- over_scale. apply over_ext. intros r _.
    unfold Rmax. destruct Rle_dec; ring.
Qed.
End Channel.

(** ** All channels *)

Section Layers.
Variables channels n m : nat.
Variables (a : nat -> nat -> R) (w : nat -> nat -> nat -> R) (d : nat -> nat -> R).
(* [d c q]: for a step of 1 *)
Variables l1 u1 l2 u2 : nat -> nat -> R.                                             (* slopes *)

Definition in_sense (sign : R) : R :=
  over channels (fun c => largest_move n m (a c) (w c) (d c) (l1 c) (u1 c) (l2 c) (u2 c) sign).
Definition most_moved : R := Rmax (in_sense 1) (in_sense (-1)).

Theorem channels_at_ends s1 s2 :
  (forall c, (c < channels)%nat -> in_first n (l1 c) (u1 c) (s1 c)) ->
  (forall c, (c < channels)%nat -> in_second m (l2 c) (u2 c) (s2 c)) ->
  Rabs (over channels (fun c => moved n m (a c) (w c) (d c) (s1 c) (s2 c))) <= most_moved.
Proof.
  intros H1 H2.
  assert (B : forall sign,
    sign * over channels (fun c => moved n m (a c) (w c) (d c) (s1 c) (s2 c)) <= in_sense sign).
  { intros sign. rewrite <- over_scale. apply over_le. intros c Hc. apply largest_at_ends; auto. }
  assert (P := B 1). assert (N := B (-1)). unfold most_moved, Rabs. destruct Rcase_abs.
  - apply Rle_trans with (2 := Rmax_r _ _). lra.
  - apply Rle_trans with (2 := Rmax_l _ _). lra.
Qed.

(** [z], [z'] of two images: what the first SiLU reads. The second convolution adds to these units
    [b], its bias and what it reads of units that the pixel does not move. *)
Variables z z' : nat -> nat -> R.
Variable b : nat -> nat -> R.

Definition second (x : nat -> nat -> R) (c r : nat) : R :=
  b c r + over n (fun q => w c r q * silu (x c q)).

(** Between [lo] and [hi] all slopes are between [l] and [u], and so are both arguments. *)
Definition slopes_between (l u x x' : R) : Prop :=
  exists lo hi, (forall t, lo <= t <= hi -> l <= silu' t <= u) /\ lo <= x <= hi /\ lo <= x' <= hi.

Lemma between_mean l u x x' : slopes_between l u x x' -> l <= mean_slope x x' <= u.
Proof. intros (lo & hi & H & Hx & Hx'). now apply (mean_slope_within lo hi). Qed.

Hypothesis first_slopes : forall c q, (c < channels)%nat -> (q < n)%nat ->
  slopes_between (l1 c q) (u1 c q) (z c q) (z' c q).
Hypothesis second_slopes : forall c r, (c < channels)%nat -> (r < m)%nat ->
  slopes_between (l2 c r) (u2 c r) (second z c r) (second z' c r).

Variable step : R.                       (* of the pixel, in what the first convolution reads *)
Hypothesis steps : forall c q, (c < channels)%nat -> (q < n)%nat -> z' c q - z c q = step * d c q.

(** The exact form. *)
Lemma exact_form c : (c < channels)%nat ->
  over m (fun r => a c r * (silu (second z' c r) - silu (second z c r))) =
  step * moved n m (a c) (w c) (d c) (fun q => mean_slope (z c q) (z' c q))
    (fun r => mean_slope (second z c r) (second z' c r)).
Proof.
  intros Hc. unfold moved. rewrite <- over_scale. apply over_ext. intros r _.
  rewrite mean_slope_moves.
  assert (E : second z' c r - second z c r =
    step * inner n (w c) (d c) (fun q => mean_slope (z c q) (z' c q)) r).
  { unfold second, inner. rewrite <- over_scale.
    replace (_ - _)
      with (over n (fun q => w c r q * silu (z' c q)) +
        - 1 * over n (fun q => w c r q * silu (z c q))) by ring.
    rewrite <- over_scale, <- over_plus. apply over_ext. intros q Hq.
    assert (M := mean_slope_moves (z c q) (z' c q)). rewrite steps in M by assumption.
    replace (silu (z' c q)) with (silu (z c q) + mean_slope (z c q) (z' c q) * (step * d c q))
      by lra. ring. }
  rewrite E. ring.
Qed.

(* map: by how much one pixel moves the first two SiLUs, signs kept *)
Theorem first_layers :
  Rabs
  (over channels (fun c =>
    over m (fun r => a c r * (silu (second z' c r) - silu (second z c r))))) <=
  most_moved * Rabs step.
Proof.
  rewrite (over_ext channels _ (fun c =>
    step * moved n m (a c) (w c) (d c) (fun q => mean_slope (z c q) (z' c q))
    (fun r => mean_slope (second z c r) (second z' c r)))) by (intros; now apply exact_form).
  rewrite over_scale, Rabs_mult, Rmult_comm. apply Rmult_le_compat_r; [apply Rabs_pos|].
  apply channels_at_ends.
  - intros c Hc q Hq. apply between_mean. now apply first_slopes.
  - intros c Hc r Hr. apply between_mean. now apply second_slopes.
Qed.
End Layers.
